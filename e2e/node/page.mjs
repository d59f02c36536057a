// Drives a page in Chromium by commands on standard input, one JSON object per line:
// {"open": url}  {"text": selector, "unlike": text}  {"fill": selector, "with": text}
// {"evaluate": expression}  {"screenshot": path}. Answers {"result": …} or {"error": text}, one per line.
// Its arguments are more flags for Chromium.
import readline from "node:readline";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const LIMIT = 60_000;

const browser = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "gamecast-page-")), {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1280, height: 800 },
  args: [
    "--no-sandbox", // the tests run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    ...process.argv.slice(2),
  ],
});
const page = browser.pages()[0] ?? (await browser.newPage());
page.on("pageerror", (error) => process.stderr.write(`page: ${error.message}\n`));

async function run(command) {
  if (command.open) {
    await page.goto(command.open, { timeout: LIMIT });
    return null;
  }
  if (command.text) {
    const locator = page.locator(command.text).first();
    await locator.waitFor({ state: "visible", timeout: LIMIT });
    await page.waitForFunction(
      ([element, unlike]) => element.textContent.trim() !== "" && element.textContent.trim() !== unlike,
      [await locator.elementHandle(), command.unlike],
      { timeout: LIMIT },
    );
    return (await locator.textContent()).trim();
  }
  if (command.fill) {
    await page.locator(command.fill).first().fill(command.with, { timeout: LIMIT });
    return null;
  }
  if (command.evaluate) {
    const limit = new Promise((_, reject) => setTimeout(() => reject(new Error("no value in time")), LIMIT));
    return await Promise.race([page.evaluate(command.evaluate), limit]);
  }
  if (command.screenshot) {
    await page.screenshot({ path: command.screenshot });
    return null;
  }
  throw new Error(`unknown command ${JSON.stringify(command)}`);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { result: await run(JSON.parse(line)) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();
