// Small conveniences; every page works without them. Ctrl-K finds, ? shows keys, g then a letter goes, j and k move, and what a page
// can do has a letter of its own (data-press).
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const typing = (event) => (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable) && !event.target.closest("dialog:not([open])");

  // Theme: the system's, or what the person chose last.
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax`;
  });

  // Drawer on narrow screens.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-menu]");
    if (!button) return;
    button.setAttribute("aria-expanded", String($(".side").classList.toggle("open")));
  });

  // Forms are sent once; a button that asks first says what it will do, and nothing happens until the answer is yes.
  const question = $("#question");
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (question && button?.dataset.confirm && !button.dataset.agreed) {
      event.preventDefault();
      $("p", question).textContent = button.dataset.confirm;
      $("[value=yes]", question).textContent = button.textContent.trim();
      question.returnValue = "";
      question.onclose = () => {
        if (question.returnValue !== "yes") return button.focus();
        button.dataset.agreed = "1";
        button.form.requestSubmit(button);
      };
      question.showModal();
      return;
    }
    if (event.target.method === "post") setTimeout(() => { if (button) button.disabled = true; }, 0);
  }, true);
  document.addEventListener("click", (event) => { if (event.target.closest("[data-dismiss]")) event.target.closest(".alert").remove(); });
  addEventListener("pageshow", (event) => { if (event.persisted) document.querySelectorAll("button[disabled]").forEach((button) => { button.disabled = false; }); });
  document.addEventListener("change", (event) => { if (event.target.closest("[data-autosubmit]")) event.target.form.requestSubmit(); });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });

  // A card that is dropped on a column is sent by its own form, as its keys would.
  const column = (event) => event.target.closest?.("[data-drop]");
  document.addEventListener("dragstart", (event) => {
    const card = event.target.closest?.("[data-card]");
    if (card) event.dataTransfer.setData("text/plain", card.dataset.card);
  });
  document.addEventListener("dragover", (event) => { if (column(event)) { event.preventDefault(); column(event).classList.add("over"); } });
  document.addEventListener("dragleave", (event) => column(event)?.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    const form = column(event) && document.getElementById(`move-${event.dataTransfer.getData("text/plain")}`);
    if (!form) return;
    event.preventDefault();
    form.elements.stage.value = column(event).dataset.drop;
    form.requestSubmit();
  });

  // Command palette.
  const palette = $("#palette");
  const input = palette && $("input", palette);
  const results = palette && $("ul", palette);
  let timer, chosen = 0;
  const open = () => { if (palette && !palette.open) { palette.showModal(); input.value = ""; find(); input.focus(); } };
  const choose = (index) => {
    const links = [...results.querySelectorAll("a")];
    if (!links.length) return;
    chosen = (index + links.length) % links.length;
    links.forEach((link, i) => link.setAttribute("aria-selected", String(i === chosen)));
    links[chosen].scrollIntoView({ block: "nearest" });
  };
  const find = async () => {
    const answer = await fetch(`${palette.dataset.url}?q=${encodeURIComponent(input.value)}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const found = (await answer.json()).results;
    results.replaceChildren(...found.map((item) => {
      const row = document.createElement("li"), link = document.createElement("a"), hint = document.createElement("span");
      link.href = item.url; link.textContent = item.label; link.setAttribute("role", "option"); hint.className = "hint"; hint.textContent = item.hint; link.append(hint); row.append(link);
      return row;
    }));
    if (!found.length) { const row = document.createElement("li"); row.className = "empty"; row.textContent = "Nothing found."; results.append(row); }
    choose(0);
  };
  if (palette) {
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 90); });
    palette.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
      if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen - 1); }
      if (event.key === "Enter") { event.preventDefault(); results.querySelectorAll("a")[chosen]?.click(); }
    });
    document.addEventListener("click", (event) => { if (event.target.closest("[data-find]")) open(); if (event.target === palette) palette.close(); });
  }

  $("main [aria-invalid=true]")?.focus(); // a form that came back begins where it is wrong

  // Keys.
  let going = false;
  const rows = () => [...document.querySelectorAll("table[data-rows] tbody tr")];
  const move = (step) => {
    const all = rows(); if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("here"));
    all[at]?.classList.remove("here");
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    next.classList.add("here"); next.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); return open(); }
    if (typing(event) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (going) {
      going = false;
      const link = document.querySelector(`.side a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { going = true; setTimeout(() => { going = false; }, 1200); }
    if (event.key === "j") move(1);
    if (event.key === "k") move(-1);
    if (event.key === "Enter" && !event.target.closest("a, button, summary")) $("tr.here a")?.click();
    if (event.key === "/") { const field = $("form.filters input[type=search]"); if (field) { event.preventDefault(); field.focus(); } }
    if (event.key === "?") $("#keys")?.showModal();
    const pressed = /^[a-z]$/.test(event.key) && $(`main [data-press="${event.key}"]`);
    if (pressed) { event.preventDefault(); pressed.click(); }
  });
  document.addEventListener("click", (event) => {
    const dialog = $(`#${event.target.closest("[data-dialog]")?.dataset.dialog}`);
    if (dialog) { event.preventDefault(); dialog.showModal(); }
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });
})();
