// Without Kafka: the board's JSON Feed, asked again only when it has changed. node read_live.mjs [address] [times]
const address = process.argv[2] ?? "http://127.0.0.1:8600/feeds/uplifting.json?tier=medium";
const times = Number(process.argv[3] ?? Infinity);
const seen = new Set();
let tag = "";

for (let round = 0; round < times; round++) {
  if (round > 0) await new Promise((resolve) => setTimeout(resolve, 60_000));
  const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {} });
  if (answer.status === 304) continue;
  if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
  tag = answer.headers.get("etag");
  for (const item of (await answer.json()).items.reverse()) {
    if (seen.has(item.id)) continue;
    seen.add(item.id);
    console.log(`${item._stillhouse.weighted.toFixed(1)}  ${item.title}`);
  }
}
