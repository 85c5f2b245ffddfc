# What a Sturdy host answers to any Cap'n Proto program.
#
# A connection begins with a Host (what Cap'n Proto calls the bootstrap interface), which
# opens sturdy refs. Every object behind one is a Ref, and at the same time an interface of
# its kind, with methods that have real parameters: `sturdy schema` prints those. In C++:
#
#   auto account = host.restoreRequest() ... .getRef().castAs<Account>();
#
# # Finding a host
#
# A sturdy ref reads sturdy://HOST/..., and has an address of its host behind "at=" if the host
# listens for others. A connection over TCP is TLS 1.3. The program needs no certificate; that of
# the host is for the name "sturdy", and is the host's if HOST is the base32, in lower case, of the
# first 20 bytes of the SHA-256 of its Ed25519 key. A program on the same machine that may read
# the world's directory connects to the socket "sock" in it instead, without TLS.
#
# # Errors
#
# An exception's description is a code, a colon and a text for people. The code is what a
# program compares: "overloaded", "no right", "revoked", "bank.example/overdraft". Of its
# types, disconnected and overloaded mean what they say, unimplemented that the object has no
# such method, and failed everything else.
#
# # Order and promises
#
# Calls of one object over one connection take effect in the order in which they were made.
# The Ref in a result can be called before the result is there, and can be an argument: the call
# waits for it. A promise of the program's own is called as a promise from then on, whatever it
# becomes; it cannot be stored.
#
# # Versions
#
# Methods and fields are added, never changed or renumbered. A host that is older than this
# file answers "unimplemented" to what it does not know.

@0xf1d3a02ac2e8b3c5;

interface Host @0xd0c5d9d8f0a1b7e1 {
  # Where a connection begins.

  restore @0 (sturdyRef :Text) -> (ref :Ref);
  # Opens a sturdy ref, "sturdy://…", of this host, or of one that it is connected to or has
  # among its peers.

  root @1 () -> (ref :Ref);
  # The root of the world, at the socket in the world's directory only: whoever can open that
  # can read the directory. Over the network it fails with "no right".
}

interface Ref @0xa9b0c4e5d6f70213 {
  # A capability to an object, whatever its kind. It is valid for as long as the connection
  # is; what has to outlast that is saved.

  call @0 (method :Text, argument :Value) -> (result :Value, ref :Ref);
  # Calls a method by its name. An argument of several parts is a record. `ref` is the result,
  # if that is a capability, so that it can be called before it is there.

  describe @1 () -> (description :Description);
  # What this very Ref lets its holder do.

  attenuate @2 (rights :Text) -> (ref :Ref);
  # The same object with no more than the given rights, of "r", "w" and "x". What can only
  # read is deep, unless "s", for shallow, is given too: whatever is obtained through it is
  # read-only as well.

  grant @3 (terms :Terms) -> (ref :Ref, grant :Grant);
  # The same object through a new grant, which can be revoked.

  save @4 (terms :Terms) -> (sturdyRef :Text, grant :Grant);
  # A sturdy ref to it, through a new grant. It is a secret: whoever has it has the object.

  same @5 (other :Ref) -> (same :Bool);
  # Whether both are the same object, whatever their rights.
}

interface Grant @0xbcd6ad8e7c4e1f95 extends(Ref) {
  # A grant can be taken back by whoever has this. It gives no access to what was granted.

  revoke @0 () -> ();
  # Ends it, and everything that was derived from it, before it returns.
}

struct Terms @0xe3f9a15b02c64d87 {
  # On what terms something is granted.

  purpose @0 :Text;
  # Who or what it is for; shown in listings and errors.

  until @1 :Time;
  # Null: until it is revoked.

  only @2 :List(Text);
  # The methods that may be called; null: every one.

  deep @3 :Bool;
  # The grant also covers whatever is obtained through it.
}

struct Description @0x96d1c7ae5b30f2e9 {
  id @0 :Text;              # short, for people: the object's number at its host
  kind @1 :Text;            # "example.org/bank/account"
  version @2 :UInt32;       # of the kind
  rights @3 :Text;          # of "rwx"; those of this Ref
  methods @4 :List(Method); # of the kind

  struct Method {
    name @0 :Text;
    needs @1 :Text;     # the right: "r", "w" or "x"
    argument @2 :Text;  # its type, much as Go writes it; empty: none
    result @3 :Text;
    allowed @4 :Bool;   # this Ref lets its holder call it
  }
}

struct Time @0x8c2f6be4a97d0135 {
  # A moment, in UTC.
  seconds @0 :Int64;      # since the beginning of 1970
  nanoseconds @1 :UInt32; # less than 1,000,000,000
}

struct Value @0xd7e85c10f3b9a246 {
  # A value without a type of its own: an argument, a result, or a part of one.
  union {
    null @0 :Void;
    bool @1 :Bool;
    int @2 :Int64;
    uint @3 :UInt64;          # above 9223372036854775807 only
    float @4 :Float64;
    text @5 :Text;
    data @6 :Data;
    time @7 :Time;
    ref @8 :Ref;
    list @9 :List(Value);
    record @10 :List(Entry);  # a struct by its fields' names, or a map
  }

  struct Entry {
    key @0 :Value;
    value @1 :Value;
  }
}
