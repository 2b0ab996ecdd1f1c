/** What counts as another picture. */
import { expect, it } from "vitest";
import { SHARE_MAX, difference } from "../pictures.mjs";

const picture = (width: number, height: number, grey: (at: number) => number) => ({
  width, height, data: Array.from({ length: width * height }, (_, at) => [grey(at), grey(at), grey(at), 255]).flat(),
});

it.each<[string, ReturnType<typeof picture>, boolean]>([
  ["the same", picture(100, 50, () => 200), true],
  ["letters drawn a little otherwise", picture(100, 50, (at) => 200 - (at % 3) * 10), true],
  ["a dot somewhere else", picture(100, 50, (at) => (at < 4 ? 0 : 200)), true],
  ["a button somewhere else", picture(100, 50, (at) => (at % 100 < 5 ? 60 : 200)), false],
  ["all of it in another colour", picture(100, 50, () => 20), false],
  ["another size", picture(50, 100, () => 200), false],
])("%s", (_why, other, isSame) => {
  expect(difference(picture(100, 50, () => 200), other) <= SHARE_MAX).toBe(isSame);
});
