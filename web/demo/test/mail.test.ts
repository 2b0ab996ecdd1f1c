/** A mail's headers as they are shown. */
import { expect, test } from "vitest";
import { headerRows } from "../src/mail.ts";

test("what a reader knows comes first, then the rest by name, and nothing is left out or made up", () => {
  const rows = headerRows({ "x-watchbell-user": "ana", to: "ana@watchbell.test", subject: "Disk", "content-type": "multipart/alternative", from: "a@b" });
  expect(rows.map(([tag, , text]) => `${tag} ${String(text)}`)).toEqual([
    "dt From", "dd a@b", "dt To", "dd ana@watchbell.test", "dt Subject", "dd Disk",
    "dt content-type", "dd multipart/alternative", "dt x-watchbell-user", "dd ana",
  ]);
  expect(headerRows({})).toEqual([]);
});
