// Looks at pages in a real browser and prints what it saw, as JSON, on standard output.
//
//   node look.mjs pages URL...        every check of a single page, in two sizes and schemes,
//                                     and what would be hidden or cut on paper
//   node look.mjs search FOLDER WORD  types a word into the search of FOLDER/book/index.html
//   node look.mjs quiz URL            answers the first quiz of a page with the keyboard
//
// CHROMIUM names the browser. Requests that leave this machine are recorded and refused.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update",
];
const wide = { width: 1280, height: 900 };
const phone = { width: 390, height: 844 };
const paper = { width: 794, height: 1123 };

const local = (url) =>
  /^(file|data|blob|about):/.test(url) || ["127.0.0.1", "localhost"].includes(new URL(url).hostname);

async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: wide, ...options });
  const seen = { outside: [], failed: [], errors: [] };
  await context.route((url) => !local(url.href), (route) => {
    seen.outside.push(route.request().url());
    return route.abort();
  });
  const page = await context.newPage();
  page.on("console", (m) => m.type() === "error" && seen.errors.push(m.text()));
  page.on("pageerror", (e) => seen.errors.push(String(e)));
  page.on("response", (r) => r.status() >= 400 && seen.failed.push(`${r.status()} ${r.url()}`));
  page.on("requestfailed", (r) => local(r.url()) && seen.failed.push(r.url()));
  return { context, page, seen };
}

async function ready(page) {
  await page.waitForLoadState("load");
  if (await page.$(".math")) {
    await page.waitForFunction(() => window.MathJax?.startup?.promise, null, { timeout: 60000 });
    await page.evaluate(() => window.MathJax.startup.promise);
  }
}

const badMaths = () =>
  [...document.querySelectorAll(
    'mjx-merror, [data-mml-node="merror"], mjx-container mjx-mtext[style*="red"], .MathJax_Error',
  )].map((node) => node.closest("mjx-container")?.parentElement?.id || node.textContent.slice(0, 80));

const unsetMaths = () =>
  [...document.querySelectorAll("div.math, span.math")]
    .filter((node) => !node.querySelector("mjx-container"))
    .map((node) => node.textContent.trim().slice(0, 80));

// What sticks out to the right although no box around it scrolls.
const overflow = () => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const clipped = (node) => {
    for (let up = node.parentElement; up && up !== document.body; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return true;
    return false;
  };
  const wide = [...document.body.querySelectorAll("*")].filter(
    (node) => node.getBoundingClientRect().right > width + 1 && !clipped(node),
  );
  return [`${document.documentElement.scrollWidth} px`,
    ...wide.slice(0, 3).map((node) => `${node.tagName}.${node.className}`)];
};

const emptyImages = () =>
  [...document.images].filter((i) => i.complete && !i.naturalWidth && i.currentSrc).map((i) => i.currentSrc);

// axe looks at every token of coloured code, thousands of them in twenty colours, and needs
// most of its time for that. One token of each class stays, in every kind of box around the
// code, since boxes have colours too; the others become plain text.
const oneTokenOfEach = () => {
  const met = new Set();
  for (const token of document.querySelectorAll(".highlight pre span")) {
    const around = [token.closest(".highlight").parentElement, token.closest(".admonition, details")];
    const kind = [token, ...around].map((node) => node?.className).join(" | ");
    if (met.has(kind)) token.replaceWith(...token.childNodes);
    met.add(kind);
  }
};

// What paper would hide of the text, cut at the right, or show of the bars around it.
const onPaper = () => {
  const gone = (node) => {
    const box = node.getBoundingClientRect();
    return !node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || box.height < 2;
  };
  const name = (node) => `${node.className || node.tagName}: ${node.textContent.trim().slice(0, 50)}`;
  return {
    hidden: [...document.querySelectorAll(
      ".course-why, details > :not(summary), .admonition.dropdown > :not(.admonition-title):not(button), .admonition.dropdown section > *",
    )].filter((node) => !node.closest(".bd-sidebar-primary") && gone(node)).map(name),
    cut: [...document.querySelectorAll("pre")].filter((p) => p.scrollWidth > p.clientWidth + 1).map(name),
    shown: [...document.querySelectorAll(".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article")]
      .filter((node) => !gone(node)).map(name),
  };
};

async function audit(page, rules) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const found = await page.evaluate((only) => window.axe.run(document, {
    resultTypes: ["violations"], preload: false, ...(only && { runOnly: only }),
  }), rules);
  return found.violations.flatMap((rule) =>
    rule.nodes.map((node) => ({ rule: rule.id, target: node.target.join(" "), html: node.html.slice(0, 160) })));
}

// One window for many pages, so that the browser keeps what they share. Wide and light with
// every rule of axe; then, on a dark phone, the rules that size and colour decide; last, on
// paper.
const bySize = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"];

async function pages(browser, urls) {
  const report = {};
  const { context, page, seen } = await open(browser);
  for (const url of urls) {
    for (const list of Object.values(seen)) list.length = 0;
    await page.emulateMedia({ media: "screen", colorScheme: "light" });
    await page.setViewportSize(wide);
    await page.goto(url);
    await ready(page);
    await page.evaluate(oneTokenOfEach);
    const light = await audit(page);
    const found = { maths: await page.evaluate(badMaths), unset: await page.evaluate(unsetMaths),
      images: await page.evaluate(emptyImages), wide: await page.evaluate(overflow) };
    await page.setViewportSize(phone);
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForTimeout(150);
    const narrow = await page.evaluate(overflow);
    const dark = await audit(page, bySize);
    await page.setViewportSize(paper);
    await page.emulateMedia({ media: "print", colorScheme: "light" });
    await page.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
    await page.waitForTimeout(100);
    const printed = await page.evaluate(onPaper);
    report[url] = structuredClone({ ...found, narrow, light, dark, printed, ...seen });
  }
  await context.close();
  return report;
}

// Two windows side by side, as setting formulas takes a processor.
async function inTwoWindows(browser, urls) {
  const shares = [0, 1].map((k) => urls.filter((_, i) => i % 2 === k));
  return Object.assign({}, ...await Promise.all(shares.map((share) => pages(browser, share))));
}

async function search(browser, [folder, word]) {
  const { context, page, seen } = await open(browser);
  await page.goto(`${pathToFileURL(folder).href}/book/index.html`);
  await ready(page);
  await page.keyboard.press("Control+k");
  await page.keyboard.type(word, { delay: 20 });
  await page.keyboard.press("Enter");
  await page.waitForURL(/search\.html/);
  await page.waitForSelector("#search-results li a", { timeout: 15000 }).catch(() => null);
  const links = await page.$$eval("#search-results li > a", (found) => found.map((a) => a.href));
  if (links.length) await page.goto(links[0]);
  const text = (await page.textContent("body")).toLowerCase();
  await context.close();
  return { links, found: links.length > 0 && text.includes(word.toLowerCase()), ...seen };
}

async function quiz(browser, [url]) {
  const { context, page, seen } = await open(browser, { javaScriptEnabled: !process.env.NO_SCRIPT });
  await page.goto(url);
  const shown = () =>
    page.$$eval(".course-quiz:first-of-type, .course-quiz", (found) =>
      [...found[0].querySelectorAll(".course-why")].map((why) => getComputedStyle(why).display !== "none"));
  const before = await shown();
  await page.$eval(".course-quiz", (node) => {
    node.setAttribute("tabindex", "-1");
    node.focus();
  });
  await page.keyboard.press("Tab");
  const focused = await page.evaluate(() => document.activeElement.type);
  let ring = "none";
  for (let tries = 0; tries < 30 && ring === "none"; tries++) {
    await page.waitForTimeout(100);
    ring = await page.evaluate(
      () => getComputedStyle(document.activeElement.closest(".course-option")).outlineStyle);
  }
  await page.keyboard.press("Space");
  const first = await shown();
  await page.keyboard.press("ArrowDown");
  const second = await shown();
  await context.close();
  return { before, focused, ring, first, second, ...seen };
}

const [what, ...rest] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags });
try {
  const done = await { pages: inTwoWindows, search, quiz }[what](browser, rest);
  process.stdout.write(JSON.stringify(done));
} finally {
  await browser.close();
}
