// Command demo tells of a document that five people share. It can be killed at any time
// and run again: it goes on with the world it finds in the directory world, and with the
// keys in the directory world.keys.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"

	"github.com/sturdyrt/sturdy/examples/share"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

func main() {
	if err := run(context.Background(), "world", os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, out io.Writer) error {
	keys := dir + ".keys"
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return err
	}
	rt, err := sturdy.Open(dir, share.Kind)
	if err != nil {
		return err
	}
	s := story{ctx, rt, keys, out}
	return errors.Join(s.tell(), rt.Close())
}
