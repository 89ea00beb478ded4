// SPDX-License-Identifier: AGPL-3.0-or-later
// The page of a node. Names, commands and answers are anybody's: they go into the page as text only, never as markup,
// and the page's policy lets nothing else in.
"use strict";

const REFRESH_MS = 2000;
const SHOWN_BYTES = 64 * 1024;

const byId = (id) => document.getElementById(id);
let ownId = "";
let nodeNames = new Map();
let store = [];
let shownNotice = 0;

// --- talking to the node

// Not relative to the page: its own address may hold credentials, with which fetch() takes none.
const here = (path) => location.origin + path;

async function ask(method, path, body) {
  const options = { method, cache: "no-store" };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(here(path), options);
  if (!answer.ok) {
    const text = (await answer.text()).trim();
    throw new Error(text || `${method} ${path} answered ${answer.status}`);
  }
  return answer;
}

async function read(path) {
  return (await ask("GET", path)).json();
}

// --- saying what happened

function notice(text, isBad) {
  byId("notice").textContent = text;
  byId("notice").className = isBad ? "bad" : "";
  shownNotice = Date.now();
}

// The same failure of each refresh is said once.
function failed(error) {
  if (byId("notice").textContent !== error.message) notice(error.message, true);
}

// --- tables

// Rows stay where they are while they have the same key, so that what has the focus keeps it.
function fill(body, entries, keyOf, make, update) {
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  entries.forEach((entry, at) => {
    const key = keyOf(entry);
    let row = known.get(key);
    known.delete(key);
    if (!row) {
      row = make(entry);
      row.dataset.key = key;
    }
    update(row, entry);
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] || null);
  });
  for (const row of known.values()) row.remove();
}

function cell(row, kind, className, text) {
  const made = document.createElement(kind);
  if (kind === "th") made.scope = "row";
  made.className = className;
  made.textContent = text;
  row.append(made);
  return made;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

const fullName = (entry) => `${entry.name}.${entry.namespace || "openfaas-fn"}`;
const shortName = (full) => full.replace(/\.openfaas-fn$/, "");
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function bytes(count) {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count;
  let unit = -1;
  while (value >= 1000 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

function makeFunction(entry) {
  const row = document.createElement("tr");
  const name = shortName(fullName(entry));
  cell(row, "th", "", name);
  cell(row, "td", "runs", "").append(document.createElement("span"));
  for (let column = 0; column < 4; column += 1) cell(row, "td", "number", "");
  const acts = cell(row, "td", "acts", "");
  acts.append(button("Call", `Call ${name}`, () => chooseCall(fullName(entry))), " ",
    button("Remove", `Remove ${name}`, () => remove(fullName(entry))));
  return row;
}

function updateFunction(row, entry) {
  const cells = row.cells;
  // Long ones are cut off on the page.
  const runs = `${entry.image} ${entry.envProcess || ""}`.trim();
  setText(cells[1].firstChild, runs);
  cells[1].title = runs.slice(0, 2000);
  setText(cells[2], `${entry.availableReplicas || 0} of ${entry.replicas || 0}`);
  setText(cells[3], whole.format(entry.invocationCount || 0));
  setText(cells[4], entry.usage ? `${whole.format(entry.usage.cpu)} m` : "–");
  cells[4].title = "Thousandths of a processor";
  setText(cells[5], entry.usage ? bytes(entry.usage.totalMemoryBytes) : "–");
}

function showFunctions(list) {
  const entries = (list || []).sort((a, b) => (fullName(a) < fullName(b) ? -1 : 1));
  fill(byId("functions"), entries, fullName, makeFunction, updateFunction);
  byId("no-functions").hidden = entries.length > 0;
  fillChoices(byId("call-name"), entries.map((entry) => [fullName(entry), shortName(fullName(entry))]));
}

function makeNeighbour() {
  const row = document.createElement("tr");
  cell(row, "th", "", "");
  cell(row, "td", "", "");
  cell(row, "td", "", "");
  cell(row, "td", "number", "");
  cell(row, "td", "runs", "").append(document.createElement("span"));
  return row;
}

function updateNeighbour(row, entry) {
  const cells = row.cells;
  setText(cells[0], entry.name);
  setText(cells[1], entry.up ? "up" : "silent");
  cells[1].className = entry.up ? "good" : "bad";
  setText(cells[2], entry.organisation);
  setText(cells[3], entry.rtt_ms > 0 ? `${entry.rtt_ms.toFixed(1)} ms` : "–");
  setText(cells[4].firstChild, entry.id);
}

function showNode(node) {
  ownId = node.id;
  nodeNames = new Map(node.neighbours.map((entry) => [entry.id, entry.name]));
  document.title = `dfaas ${node.node}`;
  setText(byId("node-name"), node.node);
  const who = node.platform === "embedded" ? "" : ` · functions run on ${node.platform}`;
  setText(byId("node-facts"), `${node.healthy ? "serves" : "cannot run functions now"} · ` +
    `${node.strategy || "no plan yet"} · version ${node.version} · ${node.id}${who}`);
  fill(byId("neighbours"), node.neighbours, (entry) => entry.id, makeNeighbour, updateNeighbour);
  byId("no-neighbours").hidden = node.neighbours.length > 0;
}

// Keeps what is chosen, and touches nothing where nothing changed.
function fillChoices(select, choices) {
  const old = [...select.options].map((option) => option.value);
  if (old.join("\n") === choices.map(([value]) => value).join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
  if (choices.some(([value]) => value === chosen)) select.value = chosen;
}

async function refresh() {
  try {
    const [node, list] = await Promise.all([read("/ui/node.json"), read("/system/functions?usage=1")]);
    showNode(node);
    showFunctions(list);
    if (byId("notice").className === "bad" && Date.now() - shownNotice > 10 * REFRESH_MS) notice("", false);
  } catch (error) {
    failed(error);
  }
}

// --- calls

function chooseCall(name) {
  byId("call-name").value = name;
  byId("call-body").focus();
}

// The first bytes of an answer, and how many there were in all.
async function readAnswer(answer) {
  const kept = new Uint8Array(SHOWN_BYTES);
  let size = 0;
  const reader = answer.body ? answer.body.getReader() : null;
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    if (size < SHOWN_BYTES) kept.set(value.subarray(0, SHOWN_BYTES - size), size);
    size += value.length;
  }
  return { head: kept.subarray(0, Math.min(size, SHOWN_BYTES)), size };
}

function textOf(head, size) {
  // A letter that the limit cuts in two is no reason to call it binary.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(head, { stream: size > head.length });
  } catch {
    return null;
  }
}

async function call(event) {
  event.preventDefault();
  const name = byId("call-name").value;
  const file = byId("call-file").files[0];
  byId("call-send").disabled = true;
  const since = performance.now();
  try {
    // Without credentials: functions shall not see the operator's.
    const answer = await fetch(here(`/function/${encodeURIComponent(name)}`),
      { method: "POST", body: file || byId("call-body").value, credentials: "omit", cache: "no-store",
        headers: { "Content-Type": file ? "application/octet-stream" : "text/plain" } });
    const { head, size } = await readAnswer(answer);
    const took = performance.now() - since;
    const node = answer.headers.get("DFaaS-Node-ID") || "";
    const text = textOf(head, size);
    byId("answer-status").textContent = `${answer.status} ${answer.statusText}`.trim();
    byId("answer-status").className = answer.ok ? "good" : "bad";
    byId("answer-time").textContent = `${took.toFixed(took < 100 ? 1 : 0)} ms`;
    byId("answer-node").textContent = node === ownId ? "this node" : nodeNames.get(node) || node || "nobody";
    byId("answer-node").title = node;
    byId("answer-size").textContent = bytes(size) + (size > head.length && text !== null ? `, the first ${bytes(head.length)} shown` : "");
    byId("answer-body").textContent = text === null ? "Not text." : text;
    byId("answer").hidden = false;
    notice("", false);
  } catch (error) {
    notice(`The call of ${shortName(name)} failed: ${error.message}`, true);
  } finally {
    byId("call-send").disabled = false;
  }
  refresh();
}

// --- changes

async function change(what, act) {
  try {
    await act();
    notice(what, false);
  } catch (error) {
    notice(error.message, true);
  }
  await refresh();
}

function remove(full) {
  const at = full.lastIndexOf(".");
  if (!confirm(`Remove ${shortName(full)}?`)) return;
  change(`${shortName(full)} was removed.`, () => ask("DELETE", "/system/functions",
    { functionName: full.slice(0, at), namespace: full.slice(at + 1) }));
}

const deploy = (deployment) => change(`${deployment.service} was deployed.`,
  () => ask("POST", "/system/functions", deployment));

// Lines of NAME=VALUE.
function pairs(text, what) {
  const found = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const equals = line.indexOf("=");
    if (equals < 1) throw new Error(`${what}: "${line}" is not NAME=VALUE`);
    found[line.slice(0, equals).trim()] = line.slice(equals + 1);
  }
  return found;
}

function deployOwn(event) {
  event.preventDefault();
  try {
    const [, service, namespace] = /^(.*?)(?:\.([^.]*))?$/.exec(byId("deploy-name").value.trim());
    deploy({ service, namespace, image: byId("deploy-image").value.trim(), envProcess: byId("deploy-process").value,
      envVars: pairs(byId("deploy-env").value, "Variables"), labels: pairs(byId("deploy-labels").value, "Labels") });
  } catch (error) {
    notice(error.message, true);
  }
}

const chosenInStore = () => store.find((entry) => entry.name === byId("store-name").value);

function describeStore() {
  const entry = chosenInStore();
  byId("store-description").textContent = entry ? entry.description : "";
}

function deployFromStore(event) {
  event.preventDefault();
  const entry = chosenInStore();
  if (!entry) return;
  deploy({ service: entry.name, image: entry.images.x86_64, envProcess: entry.fprocess, envVars: entry.environment,
    labels: entry.labels, annotations: entry.annotations });
}

async function readStore() {
  try {
    store = (await read("/store.json")).functions;
    fillChoices(byId("store-name"), store.map((entry) => [entry.name, entry.title]));
    describeStore();
  } catch (error) {
    failed(error);
  }
}

// --- start

byId("call").addEventListener("submit", call);
byId("deploy").addEventListener("submit", deployOwn);
byId("store").addEventListener("submit", deployFromStore);
byId("store-name").addEventListener("change", describeStore);
async function stayFresh() {
  if (!document.hidden) await refresh();
  setTimeout(stayFresh, REFRESH_MS);
}
readStore();
stayFresh();
