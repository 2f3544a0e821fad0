// What a shop does with the client: products, searches, recommendations, pages, an import.
// Arguments: the server's address, and a directory of at least 4 PNG files that the catalogue does not have.
import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Refused, connect, ok, raw, type Schemas } from "./spikelens.js";

const [url, folder] = process.argv.slice(2) as [string, string];
const client = connect(url);

const files = (await readdir(folder)).filter((name) => name.endsWith(".png")).sort();
const pictures = new Map<string, Blob>();
for (const name of files) {
  pictures.set(name.replace(".png", ""), await openAsBlob(join(folder, name), { type: "image/png" }));
}
const ids = [...pictures.keys()];
const [first, second, third, fourth] = ids as [string, string, string, string];
const picture = (id: string): Blob => pictures.get(id) ?? assert.fail(id);
const base64 = async (id: string) => Buffer.from(await picture(id).arrayBuffer()).toString("base64");
const found = (answer: { matches: Schemas["Match"][] }) => answer.matches.map((match) => match.product_id);

// Products, by form and with the file as the body.
for (const [number, id] of ids.entries()) {
  const attributes = { price: 10 * number, brand: number % 2 ? "two" : "one", sizes: ["S", "M"] };
  const path = { id };
  const product = await ok(
    number % 2
      ? client.PUT("/v1/products/{id}", { params: { path }, body: { image: picture(id), title: id, attributes } })
      : client.PUT("/v1/products/{id}", {
          params: { path, query: { title: id, attributes: JSON.stringify(attributes) } },
          ...raw(picture(id)),
        }),
  );
  assert.equal(product.title, id);
  assert.deepEqual(product.attributes, attributes);
}

// Every product is its own nearest neighbour: by form, with the file as the body, and by JSON.
for (const id of ids) {
  const answers = [
    await ok(client.POST("/v1/search", { body: { image: picture(id), k: 1 } })),
    await ok(client.POST("/v1/search", { params: { query: { k: 1 } }, ...raw(picture(id)) })),
    await ok(client.POST("/v1/search", { body: { image: await base64(id), k: 1 } })),
  ];
  for (const answer of answers) {
    assert.deepEqual(found(answer), [id]);
    assert.ok(answer.matches[0]!.score > 0.999);
    assert.ok(answer.emulation!.energy_mj.total > 0);
  }
}

// A filter: cheap products, or one by its id.
const filter: Schemas["Filter"] = { brand: { in: ["one", "two"] }, $any: [{ price: { lt: 15 } }, { $id: fourth }] };
const cheap = await ok(client.POST("/v1/search", { body: { image: picture(first), filter } }));
assert.deepEqual(found(cheap).sort(), [first, second, fourth].sort());

// Counts of values, the best product of each brand, pages, a boost.
const counted = await ok(client.POST("/v1/search", { body: { image: picture(first), k: 1, facets: '["brand"]' } }));
assert.equal(counted.total, ids.length);
const brands = Object.fromEntries(counted.facets!.brand!.map(({ value, count }) => [value, count]));
assert.deepEqual(brands, { one: Math.ceil(ids.length / 2), two: Math.floor(ids.length / 2) });
const { embedding } = await ok(client.POST("/v1/search", { body: { image: picture(first), k: 1, embedding: true } }));
const best = await ok(client.POST("/v1/search", { body: { embedding: embedding!, k: 9, group_by: "brand" } }));
assert.deepEqual(best.matches.map((match) => match.group).sort(), ["one", "two"]);
const pages: string[] = [];
for (let offset = 0; offset < ids.length; offset += 2) {
  pages.push(...found(await ok(client.POST("/v1/search", { body: { embedding: embedding!, k: 2, offset } }))));
}
assert.deepEqual(pages, found(await ok(client.POST("/v1/search", { body: { embedding: embedding!, k: 100 } }))));
const boost: Schemas["Boosts"] = [{ attribute: "price", weight: 1 }];
const boosted = await ok(client.POST("/v1/search", { body: { embedding: embedding!, k: 1, boost } }));
assert.ok(boosted.matches[0]!.rank_score! > boosted.matches[0]!.score);

// A part of the picture, and some fields of each product.
const part = await ok(
  client.POST("/v1/search", {
    body: { image: await base64(third), region: [0, 0, 1, 1], fields: ["title", "attributes.price"], k: 1 },
  }),
);
assert.deepEqual(part.matches[0]!.product, { id: third, title: third, attributes: { price: 20 } });
const half = { region: "[0.25,0.25,0.75,0.75]", fields: "[]", k: 1 };
const zoomed = await ok(client.POST("/v1/search", { body: { image: picture(third), ...half } }));
assert.deepEqual(Object.keys(zoomed.matches[0]!.product), ["id"]);

// An embedding, searched for without its picture; what is like a product; what is like a picture and unlike a product.
const embedded = await ok(client.POST("/v1/embeddings", raw(picture(second))));
const again = await ok(client.POST("/v1/search", { body: { embedding: embedded.embedding, k: 1 } }));
assert.deepEqual(found(again), [second]);
const alike = await ok(client.GET("/v1/products/{id}/similar", { params: { path: { id: first }, query: { k: 100 } } }));
assert.deepEqual(found(alike).sort(), ids.slice(1));
const liked = await ok(
  client.POST("/v1/recommend", { body: { positive: [{ image: await base64(first) }], negative: [second], k: 1 } }),
);
assert.deepEqual(found(liked), [first]);

// All products, page by page.
const listed: string[] = [];
let after: string | undefined;
do {
  const query = { limit: 2, ...(after === undefined ? {} : { after }) };
  const page = await ok(client.GET("/v1/products", { params: { query } }));
  listed.push(...page.products.map((product) => product.id));
  after = page.next;
} while (after !== undefined);
assert.deepEqual(listed, ids);

// Changes; a picture's bytes.
const patched = await ok(
  client.PATCH("/v1/products/{id}", { params: { path: { id: first } }, body: { attributes: { brand: null } } }),
);
assert.deepEqual(patched.attributes, { price: 0, sizes: ["S", "M"] });
const path = { id: first, picture_id: patched.pictures[0]!.id };
const stored = await ok(client.GET("/v1/products/{id}/pictures/{picture_id}", { params: { path }, parseAs: "blob" }));
assert.deepEqual(await stored.bytes(), await picture(first).bytes());

// An import, and the error of a line.
const lines = [{ id: "imported", image: await base64(first) }, { id: "broken", image: "!" }];
const ndjson = new Blob(lines.map((line) => `${JSON.stringify(line)}\n`), { type: "application/x-ndjson" });
const { id } = await ok(client.POST("/v1/imports", raw(ndjson)));
let report: Schemas["Import"];
do {
  report = await ok(client.GET("/v1/imports/{id}", { params: { path: { id } } }));
} while (report.state === "receiving" || report.state === "running");
assert.deepEqual([report.stored, report.failed, report.errors[0]!.line], [1, 1, 2]);

// A refusal says what was wrong.
const refused = await ok(client.GET("/v1/products/{id}", { params: { path: { id: "nothing" } } })).catch((error) => error);
assert.ok(refused instanceof Refused && refused.problem.code === "not_found");
const removed = await client.DELETE("/v1/products/{id}", { params: { path: { id: "imported" } } });
assert.equal(removed.response.status, 204);
console.log(`${ids.length} products searched through the generated client`);
