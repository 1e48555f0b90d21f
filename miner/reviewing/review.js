"use strict";
(() => {
  const count = document.getElementById("count");
  if (count && count.dataset.live) {
    setInterval(async () => {
      if (document.hidden) return;
      try {
        const now = await (await fetch("/live")).json();
        count.textContent = now.findings.toLocaleString("en");
      } catch { /* the server has ended; what is shown stays */ }
    }, 3000);
  }

  const stage = document.getElementById("stage");
  if (!stage) return;
  const trouble = document.getElementById("trouble");
  const help = document.getElementById("help");
  let began = performance.now();
  let waiting = false;

  const say = (text) => { trouble.textContent = text; trouble.hidden = !text; };
  const remark = () => document.getElementById("remark");

  const answer = async (form, button) => {
    if (waiting || button.disabled) return;
    waiting = true;
    stage.setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(form));
    body.set("verdict", button.value);
    body.set("seconds", ((performance.now() - began) / 1000).toFixed(3));
    try {
      const reply = await fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } });
      const text = await reply.text();
      if (!reply.ok) throw new Error(text);
      say("");
      stage.innerHTML = text;
      began = performance.now();
      document.getElementById("asked").focus({ preventScroll: true });
      window.scrollTo(0, 0);
    } catch (error) {
      say(`Not stored: ${error instanceof TypeError ? "the server does not answer" : error.message}. Press the key again.`);
    } finally {
      waiting = false;
      stage.removeAttribute("aria-busy");
    }
  };

  const reveal = async (link) => {
    const reply = await fetch(link.href, { headers: { "x-fragment": "1" } });
    const text = await reply.text();
    if (reply.ok) document.getElementById("revealed").innerHTML = text;
    else say(text);
  };

  stage.addEventListener("submit", (event) => {
    if (!event.submitter) return;
    event.preventDefault();
    answer(event.target, event.submitter);
  });
  stage.addEventListener("click", (event) => {
    if (event.target.closest("#ask")) help.showModal();
    const link = event.target.closest("#what");
    if (link) { event.preventDefault(); reveal(link); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || help.open) return;
    if (event.target.closest("textarea, input, select")) {
      if (event.key === "Escape") { event.target.blur(); event.preventDefault(); }
      return;
    }
    if (event.key === "?") { help.showModal(); event.preventDefault(); return; }
    if (event.key === "c" && remark()) {
      remark().open = true;
      remark().querySelector("textarea").focus();
      event.preventDefault();
      return;
    }
    const found = Array.from(stage.querySelectorAll("[data-key]")).find((one) => one.dataset.key === event.key);
    if (!found) return;
    event.preventDefault();
    if (found.tagName === "A") reveal(found);
    else answer(found.form, found);
  });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
