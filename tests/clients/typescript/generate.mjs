// Writes the types of openapi.yaml: node generate.mjs openapi.yaml api.d.ts
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString, stringToAST } from "openapi-typescript";

const [from, to] = process.argv.slice(2);
const type = (text) => stringToAST(`type T = ${text}`)[0].type;

const types = await openapiTS(await readFile(from), {
  // What has a default may be left out of a request.
  defaultNonNullable: false,
  transform(schema, { path }) {
    if (schema.format === "binary") return type("Blob");
    // TypeScript wants `$any` and `$id` to fit the type of all other names, too.
    if (path === "#/components/schemas/Filter") {
      const one = (name) => `components["schemas"]["${name}"]`;
      return type(
        `{ $any?: ${one("Filter")}[]; $id?: ${one("IdCondition")};
           [attribute: string]: ${one("Condition")} | ${one("IdCondition")} | ${one("Filter")}[] | undefined }`,
      );
    }
  },
});
await writeFile(to, astToString(types));
