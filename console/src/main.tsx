import { render } from "preact";
import { Shell } from "./shell";
import "./style.css";

const place = document.getElementById("app");
if (place) render(<Shell />, place);
