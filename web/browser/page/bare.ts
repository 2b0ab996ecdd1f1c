/** A page without the element: the tests make their own clients in it. */
import { Watchbell } from "@watchbell/client";

window.Watchbell = Watchbell;
