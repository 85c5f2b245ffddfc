// What a JavaScript program needs beside the generated code to talk to a Sturdy host: a
// connection to it, and the codes of its errors. capnp-es has the protocol, and leaves to its
// users how messages get from here to there.
import { createHash } from "node:crypto";
import net from "node:net";
import { once } from "node:events";
import tls from "node:tls";
import { Conn, Message } from "capnp-es";
import { Message as RpcMessage } from "capnp-es/capnp/rpc";
import { Host } from "./build/sturdy.js";

// codeOf is what a program compares of an error: "no right", "bank.example/overdraft". It
// stands before the first ": " of what the host has said, and that after what capnp-es says.
export function codeOf(error) {
  const said = error.message.replace(/^CAPNP-TS116 RPC method failed at \S+\(\): /, "");
  return said.split(": ", 1)[0];
}

// cast is a capability under another interface of the same object: a reference to anything is
// a Ref, and a program knows what it has asked for.
export const cast = (to, ref) => new to.Client(ref.client);

// overWorld connects to the socket in a world's directory, for who may read the directory.
export async function overWorld(dir) {
  const socket = net.connect(`${dir}/sock`);
  await once(socket, "connect");
  return new Connection(socket);
}

// overNetwork connects to the host that a sturdy ref names, and to no other. The name is the
// hash of its key, so no authority has to vouch for it: who answers is asked for his
// certificate first, and if it has the right key it is the only one that is trusted.
export async function overNetwork(sturdyRef) {
  const name = sturdyRef.split("/")[2];
  const address = decodeURIComponent(/\/at=([^/]*)/.exec(sturdyRef)?.[1] ?? "");
  if (!address) throw new Error("the sturdy ref does not say where its host is");
  const at = { host: address.slice(0, address.lastIndexOf(":")), port: Number(address.slice(address.lastIndexOf(":") + 1)) };
  const certificate = await certificateOf(at, name);
  const socket = tls.connect({
    ...at,
    minVersion: "TLSv1.3",
    servername: "sturdy", // every host's; which host it is the key says
    ca: certificate.toString(),
  });
  await once(socket, "secureConnect");
  return new Connection(socket);
}

// certificateOf looks at who answers, and sends him nothing.
async function certificateOf(at, name) {
  const socket = tls.connect({ ...at, minVersion: "TLSv1.3", rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    const certificate = socket.getPeerX509Certificate();
    const found = hostOf(certificate.publicKey);
    if (found !== name) throw new Error(`an impostor, or another host's address: ${found}`);
    return certificate;
  } finally {
    socket.destroy();
  }
}

// hostOf is the name of the host with a key: the first 20 bytes of its SHA-256, in base32.
function hostOf(key) {
  const raw = Buffer.from(key.export({ format: "jwk" }).x, "base64url");
  const bits = [...createHash("sha256").update(raw).digest().subarray(0, 20)].map((b) => b.toString(2).padStart(8, "0")).join("");
  return bits.replace(/.{5}/g, (five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five, 2)]);
}

// Connection is a connection to a host. Capabilities from it are valid for as long as it is
// there.
export class Connection {
  #socket;
  #conn;

  constructor(socket) {
    this.#socket = socket;
    this.#conn = new Conn(new Transport(socket));
    this.#conn.onError = (error) => this.#lost(error);
    // What an object of this program throws is told to whoever has called it. capnp-es would also
    // end the program, because of a promise that nobody looks at.
    const insert = this.#conn.insertAnswer.bind(this.#conn);
    this.#conn.insertAnswer = (id) => {
      const answer = insert(id);
      answer?.deferred.promise.catch(() => {});
      return answer;
    };
  }

  // host is where everything begins: see sturdy.capnp.
  host() {
    return this.#conn.bootstrap(Host);
  }

  close() {
    this.#socket.destroy();
  }

  // lost fails what is not answered; capnp-es would wait for it for ever.
  #lost(error) {
    for (const question of this.#conn.questions) question?.reject(error);
    this.#socket.destroy();
  }
}

const gone = "disconnected: the host has closed the connection";

// Transport carries messages over a stream. Each begins with the number of its segments, less
// one, and the length of each in words, all in four bytes; what follows is padded to a word.
class Transport {
  #socket;
  #messages;

  constructor(socket) {
    this.#socket = socket;
    this.#messages = split(socket);
  }

  sendMessage(root) {
    if (this.#socket.destroyed) throw new Error(gone);
    this.#socket.write(Buffer.from(root.segment.message.toArrayBuffer()));
  }

  async recvMessage() {
    const { value, done } = await this.#messages.next();
    if (done) throw new Error(gone);
    return new Message(value, false).getRoot(RpcMessage);
  }

  close() {
    this.#socket.destroy();
  }
}

async function* split(stream) {
  let rest = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = Buffer.concat([rest, chunk]);
    for (let size; (size = sizeOf(rest)) <= rest.length; rest = rest.subarray(size)) {
      yield new Uint8Array(rest.subarray(0, size)).buffer;
    }
  }
}

// sizeOf is how many bytes the message at the beginning of some bytes has.
function sizeOf(bytes) {
  if (bytes.length < 4) return Infinity;
  const segments = bytes.readUInt32LE(0) + 1;
  const head = Math.ceil((4 + 4 * segments) / 8) * 8;
  if (bytes.length < head) return Infinity;
  let size = head;
  for (let i = 1; i <= segments; i++) size += 8 * bytes.readUInt32LE(4 * i);
  return size;
}
