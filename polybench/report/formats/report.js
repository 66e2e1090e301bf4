// What the page can do without, but reads better with: it marks where one is, and opens what a link leads to.
(() => {
  const nav = document.querySelector("nav"), menu = nav.querySelector("details"), here = nav.querySelector(".here");
  const folds = [...document.querySelectorAll(".fold")];
  const links = [...nav.querySelectorAll("a")].filter((link) => !link.nextElementSibling);
  const inView = new Set();
  let current;

  const mark = () => {
    const link = links.find((one) => inView.has(one.hash.slice(1)));
    if (!link || link === current) return;
    current?.removeAttribute("aria-current");
    current = link;
    link.setAttribute("aria-current", "location");
    here.textContent = link.textContent;
    const above = link.getBoundingClientRect().top - nav.getBoundingClientRect().top;
    if (above < 40 || above > nav.clientHeight - 60) nav.scrollTop += above - nav.clientHeight / 3;
  };
  const observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) inView[isIntersecting ? "add" : "delete"](target.id);
    mark();
  }, { root: document, rootMargin: "-60px 0px -65% 0px" });
  for (const link of links) observer.observe(document.getElementById(link.hash.slice(1)));

  const open = () => {
    const fold = document.getElementById(location.hash.slice(1))?.querySelector(":scope > .fold");
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", open);
  open();
  nav.addEventListener("click", (event) => {
    if (event.target.closest("a") && getComputedStyle(nav.querySelector("summary")).display !== "none") menu.open = false;
    if (event.target.hash === location.hash) open();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folds.filter((fold) => !fold.open);
    for (const fold of closed) fold.open = true;
  });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
})();
