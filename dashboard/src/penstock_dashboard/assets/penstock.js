// What the browser has to do itself: tell which charts are in view, keep time, move between pages, draw grid cells.
(function () {
    "use strict";

    // A tick that was never answered counts as lost after this long.
    var ANSWER_MS = 10000;
    // A table without running runs is read anew at every n-th tick.
    var QUIET_TICKS = 5;
    // Charts this far outside the window are drawn in advance.
    var MARGIN_PX = 200;

    var noUpdate = function () { return window.dash_clientside.no_update; };
    var lastTickAt = 0;

    function navigate(href) {
        window.history.pushState({}, "", href);
        window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
        window.scrollTo(0, 0);
    }

    function grid(id) {
        // Throws while the grid is not there or not ready.
        try {
            return window.dash_ag_grid.getApi(id);
        } catch (error) {
            return null;
        }
    }

    // The button whose click called, its element and its id; null when none was clicked: buttons also call as they appear.
    function clicked() {
        var called = window.dash_clientside.callback_context.triggered.filter(function (one) { return one.value; })[0];
        if (!called) {
            return null;
        }
        var id = called.prop_id.slice(0, called.prop_id.lastIndexOf("."));
        var element = document.getElementById(id);
        return element ? {element: element, key: JSON.parse(id)} : null;
    }

    function anyRunning(api) {
        var running = false;
        api.forEachNode(function (node) {
            running = running || Boolean(node.data && node.data.state === "Running");
        });
        return running;
    }

    window.dash_clientside = window.dash_clientside || {};
    window.dash_clientside.penstock = {
        set_title: function (title) {
            if (title) {
                document.title = title;
            }
        },

        sign_out: function (clicks) {
            if (clicks) {
                window.fetch("/session", {method: "DELETE", credentials: "same-origin"}).finally(function () {
                    window.location.assign("/sign-in");
                });
            }
        },

        // A hidden page asks for nothing.
        tick: function (ticks, last) {
            return document.hidden ? noUpdate() : (last || 0) + 1;
        },

        // The next tick waits for the answer to the one before: a slow server gets fewer questions, not a queue.
        tick_when_done: function (ticks, last, done) {
            var now = Date.now();
            if (document.hidden || ((last || 0) !== (done || 0) && now - lastTickAt < ANSWER_MS)) {
                return noUpdate();
            }
            lastTickAt = now;
            return (last || 0) + 1;
        },

        // Reads the loaded rows anew; each keeps its place, and its values until the new ones are there.
        refresh_grid: function (tick) {
            var api = grid("runs-grid");
            if (api && (tick % QUIET_TICKS === 0 || anyRunning(api))) {
                api.refreshInfiniteCache();
            }
        },

        // Starts from the top: another filter is another list.
        reload_grid: function () {
            var api = grid("runs-grid");
            if (api) {
                api.deselectAll();
                api.purgeInfiniteCache();
            }
        },

        refresh_grid_now: function () {
            var api = grid("runs-grid");
            if (api) {
                api.refreshInfiniteCache();
            }
        },

        // Which steps each chart was zoomed into; without an entry it shows all.
        zoom_charts: function (layouts, zooms) {
            var changed = Object.assign({}, zooms);
            window.dash_clientside.callback_context.triggered.forEach(function (one) {
                var layout = one.value || {};
                var chart = JSON.parse(one.prop_id.slice(0, one.prop_id.lastIndexOf("."))).chart;
                var range = layout["xaxis.range"] || [layout["xaxis.range[0]"], layout["xaxis.range[1]"]];
                if (typeof range[0] === "number" && typeof range[1] === "number") {
                    changed[chart] = [Math.min(range[0], range[1]), Math.max(range[0], range[1])];
                } else if (layout["xaxis.autorange"]) {
                    delete changed[chart];
                }
            });
            return JSON.stringify(changed) === JSON.stringify(zooms) ? noUpdate() : changed;
        },

        // A click on a run's chip hides its curves in all charts, another shows them.
        hide_runs: function (clicks, hidden) {
            var button = clicked();
            if (!button) {
                return noUpdate();
            }
            var hides = hidden.indexOf(button.key.run) === -1;
            button.element.setAttribute("aria-pressed", String(!hides));
            return hides ? hidden.concat([button.key.run]) : hidden.filter(function (run) {
                return run !== button.key.run;
            });
        },

        // The address always shows the view; the history does not fill with every keystroke.
        replace_url: function (url) {
            if (url && window.location.pathname.replace(/\/$/, "") === url.path.replace(/\/$/, "")) {
                window.history.replaceState(window.history.state, "", window.location.pathname + url.query);
            }
        }
    };

    // Which charts are in view.
    var inView = new Set();
    var watched = new WeakSet();
    var reported = "";
    var timer = 0;
    var observer = new IntersectionObserver(function (entries) {
        entries.forEach(function (entry) {
            if (entry.isIntersecting) {
                inView.add(entry.target);
            } else {
                inView.delete(entry.target);
            }
        });
        later();
    }, {rootMargin: MARGIN_PX + "px 0px"});

    function later() {
        if (!timer) {
            timer = window.setTimeout(report, 120);
        }
    }

    function report() {
        timer = 0;
        document.querySelectorAll("[data-chart]").forEach(function (slot) {
            if (!watched.has(slot)) {
                watched.add(slot);
                observer.observe(slot);
            }
        });
        var area = document.getElementById("charts-area");
        if (!area) {
            reported = "";
            inView.clear();
            return;
        }
        var slots = [];
        inView.forEach(function (slot) {
            if (slot.isConnected) {
                slots.push(slot);
            } else {
                inView.delete(slot);
                watched.delete(slot);
            }
        });
        slots.sort(function (a, b) {
            return a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
        });
        var keys = document.hidden ? [] : slots.map(function (slot) { return slot.dataset.chart; });
        var now = JSON.stringify([area.dataset.context, keys]);
        if (now !== reported) {
            reported = now;
            window.dash_clientside.set_props("charts-visible", {data: keys});
        }
    }

    document.addEventListener("visibilitychange", later);

    // A section gets as many slots as its button says. The document listens, since sections are replaced at any moment.
    var limits = {of: "", slots: {}};
    document.addEventListener("click", function (event) {
        var button = event.target.closest && event.target.closest("[data-more]");
        var area = document.getElementById("charts-area");
        if (button && area) {
            var before = limits.of === area.dataset.context ? limits.slots : {};
            limits = {of: area.dataset.context, slots: Object.assign({}, before)};
            limits.slots[button.dataset.more] = Number(button.dataset.limit);
            window.dash_clientside.set_props("charts-limits", {data: limits.slots});
        }
    });

    document.addEventListener("DOMContentLoaded", function () {
        new MutationObserver(later).observe(document.body, {
            childList: true, subtree: true, attributes: true, attributeFilter: ["data-chart", "data-context"]
        });
    });

    // Says that the connection is lost while calls fail, and takes it back with the first that succeeds.
    var fetchBefore = window.fetch;
    window.fetch = function (resource) {
        var call = fetchBefore.apply(window, arguments);
        if (String(resource && resource.url || resource).indexOf("/_dash-update-component") !== -1) {
            call.then(function (response) {
                connected(response.status < 502);
            }, function () {
                connected(false);
            });
        }
        return call;
    };

    function connected(yes) {
        var strip = document.getElementById("connection");
        if (!strip && !yes) {
            strip = document.createElement("div");
            strip.id = "connection";
            strip.setAttribute("role", "status");
            strip.textContent = "Connection lost. Trying again…";
            document.body.appendChild(strip);
        }
        if (strip) {
            strip.hidden = yes;
        }
    }

    // Grid cells.
    var cells = window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};

    cells.RunLink = function (props) {
        if (!props.data) {
            return window.React.createElement("span", {className: "cell-wait"});
        }
        return window.React.createElement("a", {
            href: props.data.href,
            className: "run-link",
            title: props.value,
            onClick: function (event) {
                if (!(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)) {
                    event.preventDefault();
                    navigate(props.data.href);
                }
            }
        }, props.value);
    };

    cells.StateBadge = function (props) {
        if (!props.value) {
            return null;
        }
        return window.React.createElement("span", {className: "state state-" + props.value.toLowerCase()}, [
            window.React.createElement("span", {className: "state-dot", key: "dot", "aria-hidden": "true"}),
            props.value
        ]);
    };
})();
