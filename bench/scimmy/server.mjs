// A SCIM server on SCIMMY and its Express routers, as their documentation sets one up: resources in memory, found by
// id, userName and displayName through an index, anything else by SCIMMY's own filter. It listens on the loopback.
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = [Number(process.argv[2]), process.env.SCIM_TOKEN];

class Collection {
    constructor(nameAttribute) {
        this.nameAttribute = nameAttribute;
        this.byId = new Map();
        this.byName = new Map();
    }

    key(resource) {
        return String(resource[this.nameAttribute]).toLowerCase();
    }

    write(id, data) {
        const now = new Date();
        const previous = id === undefined ? undefined : this.byId.get(id);
        if (id !== undefined && previous === undefined) {
            throw new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);
        }
        const other = this.byName.get(this.key(data));
        if (other !== undefined && other !== id) {
            throw new SCIMMY.Types.Error(409, "uniqueness", `${this.nameAttribute} is taken`);
        }
        const stored = {
            ...data,
            id: id ?? randomUUID(),
            meta: { created: previous?.meta.created ?? now, lastModified: now },
        };
        if (previous !== undefined) this.byName.delete(this.key(previous));
        this.byId.set(stored.id, stored);
        this.byName.set(this.key(stored), stored.id);
        return stored;
    }

    read(id, filter) {
        if (id !== undefined) {
            const found = this.byId.get(id);
            if (found === undefined) throw new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);
            return found;
        }
        if (filter === undefined) return [...this.byId.values()];
        const name = this.lookedUp(filter);
        if (name !== undefined) {
            const found = this.byName.get(name.toLowerCase());
            return found === undefined ? [] : [this.byId.get(found)];
        }
        return filter.match([...this.byId.values()]);
    }

    // The name that a filter of the one form `name eq "…"` looks for.
    lookedUp(filter) {
        if (filter.length !== 1 || Object.keys(filter[0]).length !== 1) return undefined;
        const [comparator, value] = Array.isArray(filter[0][this.nameAttribute]) ? filter[0][this.nameAttribute] : [];
        return comparator === "eq" && typeof value === "string" ? value : undefined;
    }

    remove(id) {
        const found = this.read(id);
        this.byId.delete(id);
        this.byName.delete(this.key(found));
    }
}

for (const [type, nameAttribute] of [["User", "userName"], ["Group", "displayName"]]) {
    const collection = new Collection(nameAttribute);
    SCIMMY.Resources.declare(SCIMMY.Resources[type])
        .ingress((resource, data) => collection.write(resource.id, data))
        .egress((resource) => collection.read(resource.id, resource.filter))
        .degress((resource) => collection.remove(resource.id));
}

const application = express();
application.use(
    "/scim/v2",
    new SCIMMYRouters({
        type: "bearer",
        handler: (request) => {
            if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("wrong token");
            return "bench";
        },
    }),
);
application.listen(port, "127.0.0.1", () => console.log(`ready ${port}`));
