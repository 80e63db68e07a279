import { render } from "preact";
import { takeAnswer } from "./oauth";
import { takeFromAddress } from "./session";
import { Shell } from "./shell";
import "./style.css";

// Before anything else reads the address, or could keep it.
takeFromAddress();
const answer = takeAnswer();
addEventListener("hashchange", takeFromAddress);
const place = document.getElementById("app");
if (place) render(<Shell answer={answer} />, place);
