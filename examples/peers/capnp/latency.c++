// How long a typed call takes, from C++ over a Unix socket, one after another:
//
//   latency.out SOCKET          the server beside this file
//   latency.out SOCKET branch   the server of examples/foreign
//
// It prints the median and the 99th percentile, in microseconds.
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "bank.capnp.h"
#include "sturdy.capnp.h"

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  auto io = kj::setupAsyncIo();
  auto address = io.provider->getNetwork().parseAddress(kj::str("unix:", argv[1])).wait(io.waitScope);
  auto stream = address->connect().wait(io.waitScope);
  capnp::TwoPartyClient rpc(*stream);
  Account::Client account = nullptr;
  if (argc == 2) {
    account = rpc.bootstrap().castAs<Account>();
  } else {
    auto find = rpc.bootstrap().castAs<Host>().rootRequest().send().getRef().callRequest();
    find.setMethod("get");
    find.initArgument().setText(argv[2]);
    auto open = find.send().getRef().castAs<Branch>().openRequest();
    open.setOwner("latency");
    account = open.send().wait(io.waitScope).getResult().castAs<Account>();
  }
  std::vector<double> took;
  for (int i = 0; i < 21000; i++) {
    auto began = std::chrono::steady_clock::now();
    account.balanceRequest().send().wait(io.waitScope);
    if (i >= 1000) took.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count());
  }
  std::sort(took.begin(), took.end());
  std::printf("p50 %.1f us, p99 %.1f us\n", took[took.size() / 2], took[took.size() * 99 / 100]);
}
