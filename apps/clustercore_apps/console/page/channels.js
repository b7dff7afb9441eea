// The page of event channels: one answer per event of /api/channels/stream, which is open only while this page is looked at.
// Uses what console.js has: byId, put, make, pill, draw.
"use strict";

const page = byId("channels-page");
// What the address asks for (nothing: the front end's own channel), and what the server has answered.
let chosen = "", shown = "", asking = null;

const figure = (number) => (number < 10 && number % 1 ? number.toFixed(1) : Math.round(number).toLocaleString("en"));

function memory(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

function fault(element, text) {
  element.hidden = !text;
  put(element, text || "");
}

const counted = (counts) => Object.entries(counts).map(([name, count]) => `${figure(count)} ${name}`).join(", ");

function channelRow(channel) {
  const row = document.createElement("tr");
  row.dataset.channel = channel.name;
  row.classList.toggle("chosen", channel.name === shown);
  const name = document.createElement("td"), link = make("a", channel.name, "name");
  link.href = `#channels/${encodeURIComponent(channel.name)}`;
  name.append(link);
  row.append(name);
  if (channel.fault) {
    const says = make("td", channel.fault, "quiet");
    says.colSpan = 8;
    row.append(says);
    return row;
  }
  const number = (value, kind, ...classes) => {
    const cell = make("td", value, "number", ...classes);
    cell.dataset.figure = kind;
    return cell;
  };
  row.append(number(figure(channel.rate_in), "rate_in"), number(figure(channel.rate_out), "rate_out"), number(figure(channel.queued), "queued"),
    number(memory(channel.bytes), "bytes"), number(figure(channel.lag), "lag"), number(figure(channel.lost), "lost", channel.lost ? "hot" : ""),
    number(figure(channel.suppliers), "suppliers"), number(figure(channel.consumers), "consumers"));
  return row;
}

const consumerCards = [];
function consumerCard(index) {
  if (!consumerCards[index]) consumerCards[index] = byId("consumer-template").content.firstElementChild.cloneNode(true);
  return consumerCards[index];
}

function showConsumer(card, consumer) {
  const find = (selector) => card.querySelector(selector);
  const share = consumer.length_max ? consumer.queue_length / consumer.length_max : 0;
  card.classList.remove("low", "medium", "high");
  card.classList.add(share >= 0.9 ? "high" : share >= 0.3 ? "medium" : "low");
  card.classList.toggle("resting", !consumer.connected);
  put(find(".node"), consumer.name || "without a name");
  put(find(".mode"), consumer.mode);
  put(find(".state"), consumer.connected ? "connected" : "away");
  find(".state").className = `state pill ${consumer.connected ? "good" : "warm"}`;
  put(find(".owner"), `of ${consumer.owner || "nobody"} · full: ${consumer.discard === "refuse" ? "suppliers wait" : `${consumer.discard} discarded`}`);
  find(".bar i").style.width = `${Math.min(100, 100 * share)}%`;
  put(find(".figures"), `${figure(consumer.queue_length)} of ${figure(consumer.length_max)} queued · ${memory(consumer.queue_bytes)} · lag ${figure(consumer.lag)} · ` +
    `${figure(consumer.rate)} / s · ${figure(consumer.delivered)} delivered`);
  put(find(".losses"), counted(consumer.losses));
  put(find(".why"), consumer.why.join("; ") || "events are being delivered");
  put(find(".filter"), consumer.filter);
}

function showChosen(channel) {
  const card = byId("channel");
  card.hidden = !channel;
  if (!channel) return;
  put(card.querySelector("h2"), channel.name);
  fault(card.querySelector(".away"), channel.fault);
  card.querySelector(".whole").hidden = Boolean(channel.fault);
  put(card.querySelector(".kept"), channel.fault ? "" : `${figure(channel.retained)} events kept for those who come late · the next one is number ${figure(channel.offset_next)}`);
  if (channel.fault) return;
  for (const element of card.querySelectorAll("[data-figure]")) put(element, figure(channel[element.dataset.figure]));
  for (const canvas of card.querySelectorAll("canvas")) draw(canvas, channel.history[canvas.dataset.line]);
  const box = card.querySelector(".consumers");
  const cards = channel.consumer_list.map((consumer, index) => {
    showConsumer(consumerCard(index), consumer);
    return consumerCard(index);
  });
  if (!cards.length) cards.push(make("p", "Nobody consumes here.", "quiet"));
  if (cards.length !== box.children.length || cards.some((one, index) => one !== box.children[index])) box.replaceChildren(...cards);
  card.querySelector(".suppliers tbody").replaceChildren(...channel.supplier_list.map((supplier) => {
    const row = document.createElement("tr");
    row.append(make("td", supplier.name), make("td", supplier.owner || "everybody", "quiet"), make("td", supplier.mode, "quiet"),
      make("td", figure(supplier.rate), "number"), make("td", figure(supplier.taken), "number"), make("td", figure(supplier.buffer_length), "number"),
      make("td", counted(supplier.refusals), "quiet"));
    return row;
  }));
}

function showChannels(answer) {
  put(byId("channel-server"), answer.server);
  const isSet = answer.server !== "";
  fault(byId("channels-fault"), !answer.fault ? "" : isSet ? `The channel server is away: ${answer.fault}` : answer.fault);
  put(byId("channels-more"), answer.channels_left_out ? `${answer.channels_left_out} more are not shown` : "");
  shown = answer.chosen ? answer.chosen.name : "";
  byId("channels").hidden = !answer.channels.length;
  byId("channels").querySelector("tbody").replaceChildren(...answer.channels.map(channelRow));
  showChosen(answer.chosen);
}

function ask() {
  if (asking) asking.close();
  asking = null;
  if (page.hidden || document.hidden) return;
  asking = new EventSource(`api/channels/stream?channel=${encodeURIComponent(chosen)}`);
  asking.addEventListener("message", (event) => showChannels(JSON.parse(event.data)));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    return "";
  }
}

// The page's address says what is shown: #service, #channels, #channels/NAME.
function turnTo() {
  const [place, name] = location.hash.split("/", 2);
  const isChannels = place === "#channels";
  chosen = decoded(name || "");
  byId("service-page").hidden = isChannels;
  page.hidden = !isChannels;
  for (const link of document.querySelectorAll("nav a")) {
    if ((link.hash === "#channels") === isChannels) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  ask();
}

addEventListener("hashchange", turnTo);
document.addEventListener("visibilitychange", ask);
turnTo();
