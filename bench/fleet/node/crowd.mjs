// Stock clients that note the number of each event they get.
//
// in:  {op: "join", url, clients, each}: client i joins rooms i * each … (i + 1) * each - 1; answered when all are in
//      {op: "report"}
// out: {joined}, {got: [[number, …] of each client], connects, recovered}
//
// They are what an application would write: who could not go on where it was joins its rooms again.

import { io } from "socket.io-client";
import { obey, say } from "./fleet.mjs";

const got = [];
let connects = 0;
let recovered = 0;

function join(url, rooms) {
  const numbers = [];
  got.push(numbers);
  const socket = io(url, { transports: ["websocket"], forceNew: true });
  socket.on("trade:executed", ({ n }) => numbers.push(n));
  return new Promise((resolve) => {
    socket.on("connect", () => {
      connects += 1;
      if (socket.recovered) recovered += 1;
      else socket.emit("join", rooms, resolve);
    });
  });
}

obey({
  async join({ url, clients, each }) {
    const all = [];
    for (let i = 0; i < clients; i++) {
      all.push(join(url, Array.from({ length: each }, (_, k) => `room:${i * each + k}`)));
    }
    await Promise.all(all);
    return { joined: all.length };
  },
  report: () => ({ got, connects, recovered }),
});
say({ ready: true });
