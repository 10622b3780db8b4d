// Applications with express-session and passport, as users of tradecast have them. Each is described by a POST to
// the port that the first line of the output names: which store of which major, and the options of both. The answer
// is the application's own port. All of them end when the input ends.
import { createRequire } from "node:module";
import express from "express";
import session from "express-session";
import { Long, MongoClient, ObjectId, UUID } from "mongodb";
import { Passport } from "passport";
import { Strategy } from "passport-local";
import { createClient } from "redis";

import MongoStore5 from "connect-mongo-5";
import MongoStore6, { createWebCryptoAdapter } from "connect-mongo-6";
import RedisStore7 from "connect-redis-7";
import { RedisStore as RedisStore9 } from "connect-redis-9";

const require = createRequire(import.meta.url);
const REDIS = { "connect-redis-7": RedisStore7, "connect-redis-9": RedisStore9 };
const MONGO = { "connect-mongo-5": MongoStore5, "connect-mongo-6": MongoStore6 };

const objectId = new ObjectId("65a4f00000000000000000ab");
const uuid = new UUID("0192f0c1-7a5e-7c3d-9b1f-2f4c5d6e7f80");

// What passport's serializeUser gives for each user who can log in.
const STORED = {
  number: 5,
  zero: 0,
  large: 12345678901,
  text: "alice",
  object: { id: 7, name: "Ann", email: "ann@example.org", subscriptionTier: "Premium", isAdmin: true },
  half: { id: "half", name: "Ann \ud83d" },
  objectId,
  uuid,
  document: { id: objectId, subscriptionTier: "enterprise", since: new Date(0), tags: [new ObjectId()], none: undefined },
  long: Long.fromString("9007199254740993"),
  fraction: 5.5,
  list: [5],
  other: { sub: "auth0|1" },
};

const clients = new Map();

// One client for each server: stores may share it, as in a real application.
function connect(url, open) {
  if (!clients.has(url)) clients.set(url, open());
  return clients.get(url);
}

async function makeStore({ package: name, url, database, options = {} }) {
  if (name in REDIS) {
    return new REDIS[name]({ client: await connect(url, () => createClient({ url }).on("error", console.error).connect()), ...options });
  }
  const client = await connect(url, () => MongoClient.connect(url));
  const { webCrypto, ...others } = options;
  if (webCrypto !== undefined) others.cryptoAdapter = createWebCryptoAdapter({ iterations: 1, ...webCrypto });
  return MONGO[name].create({ client, dbName: database, ...others });
}

async function makeApp(description) {
  const passport = new Passport();
  passport.use(new Strategy((name, password, done) => done(null, password === "secret" && name in STORED && { name })));
  passport.serializeUser((user, done) => done(null, STORED[user.name]));
  passport.deserializeUser((stored, done) => done(null, { stored }));
  const app = express();
  const store = await makeStore(description.store);
  const settings = { secret: "keyboard cat", resave: false, saveUninitialized: false, ...description.session };
  app.use(session({ ...settings, store }), passport.session(), express.urlencoded());
  app.post("/login", passport.authenticate("local"), (request, response) => response.json(request.sessionID));
  app.post("/visit", (request, response) => response.json(request.isAuthenticated()));
  app.post("/change", (request, response) => {
    request.session.views = (request.session.views ?? 0) + 1;
    response.json(request.sessionID);
  });
  // The hash by which express-session sees changes leaves the cookie out: this is a touch, not a save.
  app.post("/touch", (request, response) => {
    request.session.cookie.maxAge = Number(request.body.seconds) * 1000;
    response.json(request.sessionID);
  });
  app.post("/anonymous", (request, response) => {
    request.session.basket = [1];
    response.json(request.sessionID);
  });
  app.post("/logout", (request, response, next) => {
    request.logout((error) => (error ? next(error) : response.json(request.sessionID)));
  });
  app.post("/forget", (request, response) => {
    delete request.session.passport;
    response.json(request.sessionID);
  });
  app.post("/destroy", (request, response, next) => {
    request.session.destroy((error) => (error ? next(error) : response.json(null)));
  });
  app.post("/regenerate", (request, response, next) => {
    const { passport: kept } = request.session;
    request.session.regenerate((error) => {
      request.session.passport = kept;
      return error ? next(error) : response.json(request.sessionID);
    });
  });
  return listen(app);
}

function listen(app) {
  return new Promise((resolve, reject) => {
    const server = app.listen(0, "127.0.0.1", (error) => (error ? reject(error) : resolve(server.address().port)));
  });
}

const control = express();
control.use(express.json());
control.post("/apps", async (request, response) => response.json(await makeApp(request.body)));
control.get("/versions", (_, response) => {
  const names = [...Object.keys(REDIS), ...Object.keys(MONGO), "express-session", "passport"];
  response.json(Object.fromEntries(names.map((name) => [name, readVersion(name)])));
});

function readVersion(name) {
  return require(`./node_modules/${name}/package.json`).version;
}

process.stdin.resume().on("end", () => process.exit(0));
console.log(await listen(control));
