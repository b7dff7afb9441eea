// The console's page: takes one snapshot of the front end's state per event of /api/stream and draws it.
// Everything that comes from the server is put in as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);
const PILL = {
  active: "good", idle: "", starting: "blue", draining: "warm", stopping: "warm", stopped: "", ejected: "bad", failed: "bad",
  low: "good", medium: "warm", high: "bad",
  add: "blue", drain: "warm", drained: "warm", remove: "warm", back: "good", revoke: "warm", refused: "bad",
  agent_lost: "bad", local_exited: "bad", started: "good", agent_connected: "good",
};
const services = new Map();

function put(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

function pill(element, text) {
  put(element, text.replace("_", " "));
  element.classList.remove("good", "warm", "bad", "blue");
  if (PILL[text]) element.classList.add(PILL[text]);
}

function make(tag, text, ...classes) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.classList.add(...classes.filter(Boolean));
  return element;
}

function duration(seconds) {
  if (!(seconds > 0)) return "0";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 0)} ms`;
  return `${seconds.toFixed(2)} s`;
}

function age(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

async function change(service, verb, body) {
  try {
    const answer = await fetch(`api/services/${encodeURIComponent(service)}/${verb}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Clustercore": "console" },
      body: JSON.stringify(body),
    });
    const result = await answer.json();
    notice(answer.ok ? `${verb}: ${result.node}` : result.error);
  } catch (error) {
    notice(`${verb}: the front end does not answer`);
  }
}

let noticeTimer = 0;
function notice(text) {
  const box = byId("notice");
  put(box, text);
  box.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { box.hidden = true; }, 5000);
}

function draw(canvas, values) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (values.length < 2) return;
  const most = Math.max(...values, 1e-9), step = width / 179, steps = canvas.dataset.steps === "yes";
  const place = (index) => [width - (values.length - 1 - index) * step, height - 2 - (values[index] / most) * (height - 6)];
  context.beginPath();
  values.forEach((_, index) => {
    const [x, y] = place(index);
    if (steps && index > 0) context.lineTo(x, place(index - 1)[1]);
    context.lineTo(x, y);
  });
  const color = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  context.strokeStyle = color;
  context.lineWidth = 1.6 * ratio;
  context.stroke();
  context.lineTo(width, height);
  context.lineTo(place(0)[0], height);
  context.globalAlpha = 0.13;
  context.fillStyle = color;
  context.fill();
  context.globalAlpha = 1;
}

function serviceCard(name) {
  if (services.has(name)) return services.get(name);
  const card = byId("service-template").content.firstElementChild.cloneNode(true);
  put(card.querySelector("h2"), name);
  card.dataset.service = name;
  card.querySelector(".add").addEventListener("click", () => change(name, "add", {}));
  byId("services").append(card);
  services.set(name, { card, children: new Map() });
  return services.get(name);
}

function childCard(holder, service, key) {
  if (holder.children.has(key)) return holder.children.get(key);
  const card = byId("child-template").content.firstElementChild.cloneNode(true);
  if (key === "local") {
    card.querySelector(".actions").replaceChildren();
  } else {
    const node = key;
    card.querySelector(".drain").addEventListener("click", () => change(service, "drain", { node }));
    card.querySelector(".remove").addEventListener("click", () => change(service, "remove", { node }));
  }
  holder.children.set(key, card);
  return card;
}

function showChild(card, service, child) {
  put(card.querySelector(".node"), child.node);
  pill(card.querySelector(".state"), child.state);
  pill(card.querySelector(".level"), child.level || "");
  card.classList.remove("low", "medium", "high");
  if (child.level) card.classList.add(child.level);
  card.classList.toggle("resting", child.resting === true);
  put(card.querySelector(".address"), child.address || "no address yet");
  card.querySelector(".bar i").style.width = `${Math.min(100, (100 * child.load) / service.high)}%`;
  card.querySelector(".bar u").style.left = `${Math.min(100, (100 * service.medium) / service.high)}%`;
  put(card.querySelector(".figures"), child.figures);
  for (const button of card.querySelectorAll("button")) {
    button.disabled = button.className === "drain" ? !["active", "ejected", "starting"].includes(child.state)
      : !["active", "ejected", "starting"].includes(child.state);
  }
}

const cores = (count) => (count === 1 ? "1 core" : `${count} cores`);

const loadText = (service, child) => (service.load_signal === "in_flight" ? "" : ` · ${child.load.toFixed(1)} ${service.load_unit}`);

function showService(service) {
  const holder = serviceCard(service.name), card = holder.card;
  const find = (selector) => card.querySelector(selector);
  put(find(".mode"), service.mode);
  const serving = find(".serving");
  put(serving, service.serving === "local" ? "front end serves alone" : "back ends serve");
  serving.classList.toggle("blue", service.serving !== "local");
  serving.classList.toggle("good", service.serving === "local");
  put(find(".listen"), service.listen.join(", "));
  put(find(".policy"), `${service.policy.replaceAll("_", " ")} · Medium ${service.medium}, High ${service.high} ${service.load_unit}` +
    `${service.thresholds === "auto" ? " (learnt)" : ""} · ` +
    `${service.minimum} to ${service.maximum} back ends, weight ${service.weight}`);
  const last = (line) => service.history[line][service.history[line].length - 1] || 0;
  put(find(".rate"), service.rate.toFixed(service.rate < 10 ? 1 : 0));
  put(find(".in-flight"), last("in_flight"));
  put(find(".latency"), `${duration(service.latency.p50)} / ${duration(service.latency.p99)}`);
  put(find(".count"), `${service.children.filter((child) => child.state === "active").length} of ${service.maximum}`);
  for (const canvas of card.querySelectorAll("canvas")) draw(canvas, service.history[canvas.dataset.line]);
  const rows = [];
  if (service.local) {
    const local = service.local;
    rows.push(["local", { node: "local instance", state: local.phase, address: local.address, in_flight: local.in_flight, cores: local.cores,
      resting: service.serving !== "local",
      load: local.load, level: service.serving === "local" ? local.level : "",
      figures: `${local.in_flight} in flight${loadText(service, local)} · ${cores(local.cores)} · pid ${local.pid}` }]);
  }
  for (const child of service.children) {
    const figures = `${child.in_flight} in flight${loadText(service, child)} · ${cores(child.cores)} · ${child.requests} requests` +
      (child.health === "trial" || child.health === "warming" ? ` · ${child.health}` : "") + (child.failures ? ` · ${child.failures} failed` : "") + (child.latency_us_mean ? ` · ${duration(child.latency_us_mean / 1e6)}` : "");
    rows.push([child.node, { ...child, figures }]);
  }
  const present = new Set(rows.map(([key]) => key));
  for (const [key, old] of holder.children) if (!present.has(key)) { old.remove(); holder.children.delete(key); }
  const box = find(".children");
  rows.forEach(([key, child], index) => {
    const childElement = childCard(holder, service.name, key);
    showChild(childElement, service, child);
    if (box.children[index] !== childElement) box.insertBefore(childElement, box.children[index] || null);
  });
  const counters = [["adds", service.adds], ["removes", service.removes], ["failures", service.failures],
    ...Object.entries(service.stats).filter(([, value]) => value > 0)];
  find(".counters").replaceChildren(...counters.map(([name, value]) => {
    const pair = make("div", "");
    pair.append(make("dt", name.replaceAll("_", " ")), make("dd", Number(value).toLocaleString("en")));
    return pair;
  }));
}

function showNodes(nodes) {
  byId("nodes").replaceChildren(...nodes.map((node) => {
    const row = document.createElement("tr");
    const state = make("td", ""), badge = make("span", "", "pill");
    pill(badge, node.connected ? (node.back_off_seconds > 0 ? "failed" : node.phase) : "agent_lost");
    state.append(badge);
    const cpu = make("td", ""), meter = make("span", "", "meter"), fill = document.createElement("i");
    fill.style.width = `${Math.round(node.cpu * 100)}%`;
    meter.append(fill);
    cpu.append(meter, `${Math.round(node.cpu * 100)} %`);
    const says = node.connected ? (node.back_off_seconds > 0 ? `tried again in ${node.back_off_seconds} s · ` : "") + node.detail : node.fault;
    row.append(make("td", node.name), make("td", node.agent, "quiet"), state,
      make("td", node.service || (node.held_by ? `front end ${node.held_by}` : "")), make("td", node.cores, "number"), cpu, make("td", says, "quiet"));
    return row;
  }));
}

let newest = "";
function showDecisions(decisions) {
  // Numbers begin anew with the front end; times do not.
  const one = decisions[decisions.length - 1];
  const last = one ? `${one.time_unix} ${one.number} ${decisions.length}` : "none";
  if (last === newest) return;
  newest = last;
  byId("decisions").replaceChildren(...[...decisions].reverse().map((decision) => {
    const row = make("li", "");
    row.dataset.kind = decision.kind;
    const time = make("time", new Date(decision.time_unix * 1000).toLocaleTimeString("en-GB"));
    time.title = decision.time;
    const what = make("span", "", "pill", "what");
    pill(what, decision.kind);
    row.append(time, what, make("span", [decision.service, decision.node].filter(Boolean).join(" · ")), make("span", decision.reason));
    return row;
  }));
}

// Where decisions and node states come from, and when they no longer do.
function showSource(source) {
  const said = !source ? "from the front end itself: no event channel is set (front.channel)"
    : `from channel ${source.channel} on ${source.server}`;
  const heard = source && source.heard_unix ? `What stands here is as of ${new Date(source.heard_unix * 1000).toLocaleTimeString("en-GB")}.`
    : "Nothing was heard yet.";
  for (const element of document.querySelectorAll("#service-page .heard")) put(element, said);
  for (const element of document.querySelectorAll("#service-page .away")) {
    element.hidden = !source || !source.fault;
    if (!element.hidden) put(element, `The event channel is away: ${source.fault}. ${heard}`);
  }
}

function show(state) {
  put(byId("front-name"), state.front.name);
  put(byId("driver"), state.front.driver.split(":")[0]);
  byId("driver").title = state.front.driver;
  put(byId("uptime"), `up ${age(state.front.uptime_seconds)}`);
  state.services.forEach(showService);
  showNodes(state.nodes);
  showDecisions(state.decisions);
  showSource(state.live);
}

function live(text, kind) {
  const badge = byId("live");
  put(badge, text);
  badge.className = `pill ${kind}`;
}

const stream = new EventSource("api/stream");
stream.addEventListener("message", (event) => { live("live", "good"); show(JSON.parse(event.data)); });
stream.addEventListener("error", () => live("no connection", "bad"));
