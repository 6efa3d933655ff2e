// The sign-in page. On /setup it reads the one-time secret from the fragment, which no server and no log ever sees, and
// trades it for a session. Else it takes a token.
(function () {
    "use strict";
    var REASONS = {
        SETUP_LINK_INVALID: "This link was used before or has expired. Run penstock open for a fresh one.",
        TOKEN_INVALID: "This token is not valid. Check that it was copied whole.",
        TOKEN_EXPIRED: "This token has expired. Create a new one.",
        TOKEN_REVOKED: "This token was revoked. Create a new one."
    };
    var working = document.getElementById("working");
    var section = document.getElementById("form-section");
    var notice = document.getElementById("notice");
    var form = document.getElementById("token-form");
    var field = document.getElementById("token");
    var submit = document.getElementById("submit");
    var query = new URLSearchParams(window.location.search);

    // Only a path on this server: a link must not lead elsewhere after the sign-in.
    function next() {
        var target = query.get("next") || "/";
        try {
            var url = new URL(target, window.location.origin);
            return url.origin === window.location.origin && target.charAt(0) === "/" ? url.pathname + url.search : "/";
        } catch (error) {
            return "/";
        }
    }

    function show(message) {
        working.hidden = true;
        section.hidden = false;
        notice.hidden = !message;
        notice.textContent = message || "";
        submit.disabled = false;
        field.focus();
    }

    function signIn(body) {
        return window.fetch("/session", {
            method: "POST",
            headers: {"content-type": "application/json"},
            credentials: "same-origin",
            body: JSON.stringify(body)
        }).then(function (response) {
            if (response.ok) {
                window.location.replace(next());
                return null;
            }
            return response.json().then(function (answer) {
                show(REASONS[answer.reason] || answer.message || "That did not work.");
            });
        }).catch(function () {
            show("The server does not answer. Is Penstock still running?");
        });
    }

    form.addEventListener("submit", function (event) {
        event.preventDefault();
        var token = field.value.trim();
        if (!token) {
            return;
        }
        submit.disabled = true;
        signIn(token.indexOf("psl_") === 0 ? {setup: token} : {token: token});
    });

    function start() {
        var secret = window.location.hash.replace(/^#/, "");
        if (window.location.pathname === "/setup" && secret) {
            // The secret leaves the address bar and the history at once.
            window.history.replaceState(null, "", "/setup");
            section.hidden = true;
            working.hidden = false;
            signIn({setup: decodeURIComponent(secret)});
        } else {
            show(query.has("expired") ? "Your session has ended. Please sign in again." : "");
        }
    }

    // A second link opened in the same tab changes the fragment only.
    window.addEventListener("hashchange", start);
    start();
})();
