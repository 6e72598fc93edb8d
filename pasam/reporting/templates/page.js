"use strict";
(() => {
  const root = document.documentElement;

  // Colours: as the system has them, light, dark.
  const button = document.getElementById("theme");
  const words = { "": "auto", light: "light", dark: "dark" };
  const order = ["", "light", "dark"];
  const show = () => {
    button.querySelector(".word").textContent = words[root.dataset.theme || ""];
  };
  button.addEventListener("click", () => {
    root.dataset.theme = order[(order.indexOf(root.dataset.theme || "") + 1) % order.length];
    try { localStorage.setItem("pasam-theme", root.dataset.theme); } catch (_) { /* a file may not store */ }
    show();
  });
  show();

  // Contents: folded on narrow screens, and the section in view is marked.
  const contents = document.querySelector(".contents details");
  const narrow = matchMedia("(max-width: 60rem)");
  const fold = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  contents.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a")) contents.open = false;
  });
  const links = new Map([...contents.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const here = [...links.keys()].filter((key) => seen.has(key)).pop();
    for (const [key, link] of links) {
      if (key === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-15% 0px -70% 0px" });
  for (const key of links.keys()) watch.observe(document.getElementById(key));

  // A link to something in a closed section opens it; printing opens everything.
  const reveal = () => {
    let part = location.hash ? document.getElementById(location.hash.slice(1)) : null;
    if (!part) return;
    const own = part.querySelector(":scope > details.fold");
    if (own) own.open = true;
    for (let each = part; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    part.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) reveal();
  });
  reveal();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("main details:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of closed) each.open = false; });

  // Tables: a column's head sorts by it, numbers by their first number; once more turns it round.
  const valueOf = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace("\u2212", "-").replace(/,(?=\d{3})/g, ""));
    return Number.isNaN(number) ? text : number;
  };
  for (const table of document.querySelectorAll("main table")) {
    const body = table.tBodies[0];
    if (body.rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...cell.childNodes);
      cell.append(sorter);
      sorter.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") !== "descending";
        for (const other of cell.parentElement.cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [valueOf(a, column), valueOf(b, column)];
          if (typeof x === typeof y) return x < y ? -1 : x > y ? 1 : 0;
          return typeof x === "number" ? 1 : -1;
        });
        body.append(...(down ? rows.reverse() : rows));
      });
    });
  }

  // Charts: the point nearest to the pointer, or to a finger, says its value.
  const tip = document.getElementById("tip");
  const REACH = 40;
  let pointed = null;
  const point = (mark, words) => {
    if (pointed) pointed.classList.remove("pointed");
    pointed = mark;
    tip.hidden = !mark;
    if (!mark) return;
    mark.classList.add("pointed");
    tip.textContent = words;
    const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = at.left + at.width / 2 - own.width / 2;
    tip.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - own.width - 4))}px`;
    tip.style.top = `${at.top > own.height + 12 ? at.top - own.height - 8 : at.bottom + 8}px`;
  };
  for (const chart of document.querySelectorAll("svg.chart")) {
    const marks = [...chart.querySelectorAll(".series title")].map((title) => {
      const mark = title.parentElement, text = title.textContent;
      title.remove(); // the browser's own tip would come late and beside this one
      return [mark, text];
    });
    if (!marks.length) continue;
    const nearest = (event) => {
      let best = [null, ""], least = REACH;
      for (const [mark, text] of marks) {
        const box = mark.getBoundingClientRect();
        const away = Math.hypot(event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
        if (away < least) [best, least] = [[mark, text], away];
      }
      point(...best);
    };
    chart.addEventListener("pointermove", nearest);
    chart.addEventListener("pointerdown", nearest);
    chart.addEventListener("pointerleave", () => point(null));
  }
  addEventListener("scroll", () => point(null), { passive: true });

  // Two images with a handle between them.
  for (const pair of document.querySelectorAll(".pair")) {
    const range = pair.querySelector("input");
    const move = () => pair.style.setProperty("--cut", `${range.value}%`);
    range.addEventListener("input", move);
    move();
  }

  // Galleries: a card opens large; arrow keys walk through its gallery.
  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  let cards = [];
  let place = 0;
  const put = (number) => {
    place = (number + cards.length) % cards.length;
    const card = cards[place].cloneNode(true);
    const count = document.createElement("span");
    count.className = "count";
    count.textContent = `${place + 1} of ${cards.length}`;
    for (const image of card.querySelectorAll("img")) image.loading = "eager";
    const legend = cards[place].closest(".gallery").previousElementSibling;
    const keys = legend && legend.classList.contains("legend") ? [legend.cloneNode(true)] : [];
    stage.replaceChildren(...keys, ...card.childNodes, count);
  };
  document.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    cards = [...card.closest(".gallery").querySelectorAll(".card")];
    put(cards.indexOf(card));
    viewer.showModal();
  });
  viewer.querySelector(".previous").addEventListener("click", () => put(place - 1));
  viewer.querySelector(".next").addEventListener("click", () => put(place + 1));
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") put(place - 1);
    if (event.key === "ArrowRight") put(place + 1);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => { if (cards[place]) cards[place].focus(); });
  document.addEventListener("keydown", (event) => {
    const card = event.target.closest && event.target.closest(".card");
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (!card || viewer.open || !(event.key in steps)) return;
    const all = [...card.closest(".gallery").querySelectorAll(".card")];
    const next = all[all.indexOf(card) + steps[event.key]];
    if (next) { next.focus(); event.preventDefault(); }
  });
})();
