// Decides between light and dark before the first paint. The visitor's choice goes before the system's.
// The key is the one under which Mantine keeps the choice, so that both always agree.
(function () {
    "use strict";
    var chosen = null;
    try {
        chosen = window.localStorage.getItem("mantine-color-scheme-value");
    } catch (error) {
        // Storage may be forbidden: then the system decides.
    }
    var dark = chosen === "dark" || (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
