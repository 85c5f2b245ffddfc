// A client of the bank's branch, in JavaScript: see README.md, one folder up.
import { Account, Approver, Branch } from "./build/bank.js";
import { Grant, Ref } from "./build/sturdy.js";
import { cast, codeOf, overNetwork, overWorld } from "./host.js";

const money = (cents) => String(cents).replace(/^(-?)(\d+)$/, (_, sign, n) => sign + n.padStart(3, "0").replace(/..$/, ".$&"));
const say = console.log;

// Manager is an approver that lives in this program: the host calls it while this program waits
// for the host. Above its limit it says no; and an error of its own has a code, too.
class Manager {
  async approve({ amount, note }, results) {
    if (amount > 9000n) throw new Error("manager.example/away: ask tomorrow");
    const ok = amount <= 5000n;
    say(`  the manager is asked for ${money(amount)} for ${note}: ${ok ? "yes" : "no"}`);
    results.result = ok;
  }
}

// The root is a directory. Its methods can be called by their names, as those of everything.
function find(host, name) {
  return host
    .root()
    .getRef()
    .call((p) => {
      p.method = "get";
      p._initArgument().text = name;
    })
    .getRef();
}

const balance = async (account) => money((await account.balance().promise()).result);

// attempt says what a call comes to: that it is done, or the code of its error.
async function attempt(what, call) {
  let came = "done";
  try {
    await call.promise();
  } catch (error) {
    came = codeOf(error);
    if (came === "bank.example/overdraft") came += ", so there is not enough";
  }
  say(`${what}: ${came}`);
}

// Nothing waits here: the account is called before it is there, in the same round trip.
async function open(branch, owner, deposit) {
  const account = cast(Account, branch.open((p) => (p.owner = owner)).getResult());
  if (deposit > 0) await account.deposit((p) => (p.value = deposit)).promise();
  say(`${owner} has ${await balance(account)}`);
  return account;
}

async function transfer(alice, bob) {
  for (const amount of [3000n, 50000n]) {
    const call = alice.transfer((p) => Object.assign(p, { to: bob, amount, note: "a bicycle" }));
    await attempt(`alice transfers ${money(amount)}`, call);
  }
  say(`alice has ${await balance(alice)}, bob ${await balance(bob)}`);
}

async function pay(branch, alice, bob) {
  const approver = new Approver.Server(new Manager()).client();
  for (const amount of [2000n, 6000n, 9100n]) {
    const call = branch.pay((p) => {
      Object.assign(p, { from: alice, to: bob, approver });
      Object.assign(p._initPayment(), { amount, note: "repairs" });
    });
    await attempt(`the branch pays ${money(amount)}`, call);
  }
}

// An auditor is given less than alice has.
async function audit(alice) {
  const auditor = cast(Account, cast(Ref, alice).attenuate((p) => (p.rights = "r")).getRef());
  say(`the auditor reads ${await balance(auditor)}, of these entries:`);
  const { result } = await auditor.statement().promise();
  for (const { amount, note } of result) say(`  ${money(amount)} ${note}`);
  await attempt("the auditor deposits", auditor.deposit((p) => (p.value = 1n)));
}

// From anywhere: the text says who the host is and where.
async function far(sturdyRef, grant) {
  const remote = await overNetwork(sturdyRef);
  const account = cast(Account, remote.host().restore((p) => (p.sturdyRef = sturdyRef)).getRef());
  say(`over TLS, alice has ${await balance(account)}`);
  await attempt("the root over TLS", remote.host().root());
  await attempt("the grant is revoked", grant.revoke());
  await attempt("alice's balance, over TLS", account.balance());
  remote.close();
}

async function main(dir) {
  const local = await overWorld(dir);
  const branch = cast(Branch, find(local.host(), "branch"));
  const alice = await open(branch, "alice", 10000n);
  const bob = await open(branch, "bob", 0n);
  await transfer(alice, bob);
  await pay(branch, alice, bob);
  await audit(alice);
  // What is to outlast the connection is saved: as a text, which is a secret.
  const saved = await cast(Ref, alice).save((p) => (p._initTerms().purpose = "a client in JavaScript")).promise();
  await far(saved.sturdyRef, cast(Grant, saved.grant));
  local.close();
}

if (process.argv.length !== 3) {
  console.error("usage: node client.js WORLD");
  process.exit(2);
}
try {
  await main(process.argv[2]);
} catch (error) {
  console.error(`client: ${error.message}`);
  process.exit(1);
}
