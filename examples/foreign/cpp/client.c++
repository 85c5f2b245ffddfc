// A client of the bank's branch, in C++: see README.md, one folder up.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "bank.capnp.h"
#include "host.h"

using std::string;

static string money(int64_t cents) {
  char text[32];
  snprintf(text, sizeof(text), "%s%lld.%02lld", cents < 0 ? "-" : "", llabs(cents) / 100, llabs(cents) % 100);
  return text;
}

static void say(const string& line) { std::cout << line << std::endl; }

// An approver that lives in this program: the host calls it while this program waits for the
// host. Above its limit it says no; and an error of its own has a code, too.
class Manager final : public Approver::Server {
 protected:
  kj::Promise<void> approve(ApproveContext context) override {
    auto payment = context.getParams();
    if (payment.getAmount() > 9000) {
      return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str("manager.example/away: ask tomorrow"));
    }
    bool ok = payment.getAmount() <= 5000;
    say("  the manager is asked for " + money(payment.getAmount()) + " for " + payment.getNote().cStr() + (ok ? ": yes" : ": no"));
    context.getResults().setResult(ok);
    return kj::READY_NOW;
  }
};

class Client {
 public:
  explicit Client(kj::AsyncIoContext& io) : io(io) {}

  void run(const string& dir) {
    auto local = sturdy::Connection::toWorld(io, dir);
    Branch::Client branch = find(local->host(), "branch").castAs<Branch>();
    Account::Client alice = open(branch, "alice", 10000);
    Account::Client bob = open(branch, "bob", 0);
    transfer(alice, bob);
    pay(branch, alice, bob);
    audit(alice);
    string saved = save(alice);
    Grant::Client grant = lastGrant;
    far(saved, grant);
  }

 private:
  kj::AsyncIoContext& io;
  Grant::Client lastGrant = nullptr;

  // The root is a directory. Its methods can be called by their names, as those of everything.
  Ref::Client find(Host::Client host, const char* name) {
    auto request = host.rootRequest().send().getRef().callRequest();
    request.setMethod("get");
    request.initArgument().setText(name);
    return request.send().getRef();
  }

  // Nothing waits here: the account is called before it is there, in the same round trip.
  Account::Client open(Branch::Client branch, const char* owner, int64_t deposit) {
    auto request = branch.openRequest();
    request.setOwner(owner);
    auto account = request.send().getResult().castAs<Account>();
    if (deposit > 0) {
      auto in = account.depositRequest();
      in.setValue(deposit);
      in.send().wait(io.waitScope);
    }
    say(string(owner) + " has " + balance(account));
    return account;
  }

  string balance(Account::Client account) {
    return money(account.balanceRequest().send().wait(io.waitScope).getResult());
  }

  // attempt says what a call comes to: that it is done, or the code of its error.
  template <typename Promise>
  void attempt(const string& what, Promise&& promise) {
    string came = "done";
    KJ_IF_MAYBE (e, kj::runCatchingExceptions([&]() { promise.wait(io.waitScope); })) {
      came = sturdy::codeOf(*e);
      if (came == "bank.example/overdraft") came += ", so there is not enough";
    }
    say(what + ": " + came);
  }

  void transfer(Account::Client alice, Account::Client bob) {
    for (int64_t amount : {3000, 50000}) {
      auto request = alice.transferRequest();
      request.setTo(bob);
      request.setAmount(amount);
      request.setNote("a bicycle");
      attempt("alice transfers " + money(amount), request.send());
    }
    say("alice has " + balance(alice) + ", bob " + balance(bob));
  }

  void pay(Branch::Client branch, Account::Client alice, Account::Client bob) {
    Approver::Client manager = kj::heap<Manager>();
    for (int64_t amount : {2000, 6000, 9100}) {
      auto request = branch.payRequest();
      request.setFrom(alice);
      request.setTo(bob);
      request.setApprover(manager);
      auto payment = request.initPayment();
      payment.setAmount(amount);
      payment.setNote("repairs");
      attempt("the branch pays " + money(amount), request.send());
    }
  }

  // An auditor is given less than alice has.
  void audit(Account::Client alice) {
    auto request = alice.attenuateRequest();
    request.setRights("r");
    Account::Client auditor = request.send().getRef().castAs<Account>();
    say("the auditor reads " + balance(auditor) + ", of these entries:");
    auto entries = auditor.statementRequest().send().wait(io.waitScope);
    for (auto entry : entries.getResult()) say("  " + money(entry.getAmount()) + " " + entry.getNote().cStr());
    auto in = auditor.depositRequest();
    in.setValue(1);
    attempt("the auditor deposits", in.send());
  }

  // What is to outlast the connection is saved: as a text, which is a secret.
  string save(Account::Client alice) {
    auto request = alice.saveRequest();
    auto terms = request.initTerms();
    terms.setPurpose("a client in C++");
    auto saved = request.send().wait(io.waitScope);
    lastGrant = saved.getGrant();
    return saved.getSturdyRef().cStr();
  }

  // From anywhere: the text says who the host is and where.
  void far(const string& saved, Grant::Client grant) {
    auto remote = sturdy::Connection::toHost(io, sturdy::SturdyRef(saved));
    auto request = remote->host().restoreRequest();
    request.setSturdyRef(saved.c_str());
    Account::Client account = request.send().getRef().castAs<Account>();
    say("over TLS, alice has " + balance(account));
    attempt("the root over TLS", remote->host().rootRequest().send());
    attempt("the grant is revoked", grant.revokeRequest().send());
    attempt("alice's balance, over TLS", account.balanceRequest().send());
  }
};

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: client WORLD" << std::endl;
    return 2;
  }
  auto io = kj::setupAsyncIo();
  KJ_IF_MAYBE (e, kj::runCatchingExceptions([&]() { Client(io).run(argv[1]); })) {
    std::cerr << "client: " << e->getDescription().cStr() << std::endl;
    return 1;
  }
  return 0;
}
