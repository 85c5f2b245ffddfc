@0xb5d1c2a3e4f50617;
# Every type there is, for the tests of the codec. every.bin is what
# `capnp compile -o- -I.. every.capnp` makes of it.

using Sturdy = import "/sturdy.capnp";

enum Colour { red @0; green @1; lightBlue @2; }

struct Point { x @0 :Int32; y @1 :Int32 = -7; }

struct Empty {}

struct Tree { label @0 :Text; left @1 :Tree; right @2 :Tree; more @3 :List(Tree); }

struct Shape {
  name @0 :Text;
  union {
    nothing @1 :Void;
    circle @2 :Float64;
    square @3 :Point;
    inner @4 :Shape;
    tags @5 :List(Text);
    pair :group { a @6 :Int16; b @7 :Text; }
    colour @8 :Colour;
  }
  area @9 :Float32;
}

struct Numbers {
  b @0 :Bool; i8 @1 :Int8; i16 @2 :Int16; i32 @3 :Int32; i64 @4 :Int64;
  u8 @5 :UInt8; u16 @6 :UInt16; u32 @7 :UInt32; u64 @8 :UInt64;
  f32 @9 :Float32; f64 @10 :Float64; colour @11 :Colour; void @12 :Void; c @13 :Bool;
}

struct Defaults {
  b @0 :Bool = true; i8 @1 :Int8 = -3; i16 @2 :Int16 = -300; i32 @3 :Int32 = -70000; i64 @4 :Int64 = -5000000000;
  u8 @5 :UInt8 = 200; u16 @6 :UInt16 = 60000; u32 @7 :UInt32 = 4000000000; u64 @8 :UInt64 = 18000000000000000000;
  f32 @9 :Float32 = 1.5; f64 @10 :Float64 = -2.25; colour @11 :Colour = green;
  text @12 :Text = "hello"; data @13 :Data = 0x"01 02"; list @14 :List(Int16) = [1, -2];
  point @15 :Point = (x = 3); texts @16 :List(Text) = ["a", ""]; points @17 :List(Point) = [(x = 1), (y = 2)];
}

struct Lists {
  bools @0 :List(Bool); i8s @1 :List(Int8); i16s @2 :List(Int16); i32s @3 :List(Int32); i64s @4 :List(Int64);
  u8s @5 :List(UInt8); u16s @6 :List(UInt16); u32s @7 :List(UInt32); u64s @8 :List(UInt64);
  f32s @9 :List(Float32); f64s @10 :List(Float64); colours @11 :List(Colour); voids @12 :List(Void);
  texts @13 :List(Text); datas @14 :List(Data); points @15 :List(Point); deep @16 :List(List(List(Int8)));
  shapes @17 :List(Shape); times @18 :List(Sturdy.Time); empties @19 :List(Empty);
}

struct Every {
  numbers @0 :Numbers;
  defaults @1 :Defaults;
  lists @2 :Lists;
  text @3 :Text;
  data @4 :Data;
  shape @5 :Shape;
  tree @6 :Tree;
  time @7 :Sturdy.Time;
  value @8 :Sturdy.Value;
  group :group {
    one @9 :UInt8;
    two :union { left @10 :UInt16; right @11 :Text; neither @12 :Void; }
  }
  tail @13 :Bool;
}

struct Box(T) { value @0 :T; }
struct Holder { point @0 :Point; box @1 :Box(Text); }
struct Knot { other @0 :Knit; }
struct Knit { other @0 :Knot; any @1 :AnyPointer; }

interface Named { name @0 () -> (result :Text); same @1 (value :Int32) -> (); }
interface Sized extends(Named) { size @0 () -> (width :Int32, height :Int32); name @1 () -> (title :Text); }
interface Both extends(Sized, Named) {
  echo @0 Every -> Every;
  any @1 (what :AnyPointer) -> ();
  box @2 (list :List(Holder)) -> ();
  knot @3 () -> (result :Knot);
  generic @4 [T] (x :T) -> (y :T);
  refs @5 (one :Named, two :List(Sized), three :Capability) -> (result :Both);
  flow @6 (value :Data) -> stream;
}
