import "./header.js";
