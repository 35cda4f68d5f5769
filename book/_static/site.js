// The arrows that unfold a chapter in the side bar have no name of their own.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".bd-sidebar-primary li > details > summary")) {
    arrow.ariaLabel = `Pages of ${arrow.closest("li").querySelector("a").textContent.trim()}`;
  }
});

// Whatever scrolls sideways (a wide formula, code, a table) can be reached with the keyboard.
(() => {
  const wide = "mjx-container[display], .highlight pre, div.cell_output .output, .pst-scrollable-table-container";
  const mark = () => {
    for (const node of document.querySelectorAll(wide)) {
      if (node.scrollWidth > node.clientWidth + 1) {
        node.tabIndex = 0;
      } else if (node.tabIndex === 0 && node.matches("mjx-container, .output")) {
        node.removeAttribute("tabindex");
      }
    }
  };
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    mark();
    window.addEventListener("resize", mark);
  });
})();
