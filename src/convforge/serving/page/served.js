/** The page as the server gives it: it knows the card and the layers, and asks for the rest. */

import { find } from "./dom.js";
import { start } from "./page.js";
import { Remote } from "./server.js";

start(Promise.resolve(new Remote(JSON.parse(find("facts").textContent))), {}, []);
