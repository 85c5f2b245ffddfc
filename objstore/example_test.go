package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sturdyrt/sturdy/objstore"
)

// A world in memory; Open("directory", objstore.Options{}) keeps one on disk.
func Example() {
	files := objstore.NewMemory()
	defer files.Close()
	store, err := objstore.Open("", objstore.Options{Files: files})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	info := store.Info()
	alice := objstore.OID{Vat: info.Vat, N: info.Next}
	batch := objstore.Batch{LSN: info.LSN + 1, Base: info.LSN, Next: info.Next + 1}
	batch.Put(objstore.ObjectKey(alice), objstore.Record{LSN: batch.LSN, Body: []byte("hello")})
	if err := store.Commit(context.Background(), &batch); err != nil {
		log.Fatal(err)
	}

	now := store.Snapshot()
	defer now.Release()
	rec, ok, err := now.Get(objstore.ObjectKey(alice))
	fmt.Printf("%s %v %v, written by %d\n", rec.Body, ok, err, rec.LSN)
	// Output: hello true <nil>, written by 1
}

// Elements of a collection are rows of their own, in the order of their bytes.
func ExampleSnapshot_Scan() {
	files := objstore.NewMemory()
	defer files.Close()
	store, err := objstore.Open("", objstore.Options{Files: files})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	friends := objstore.OID{Vat: 1, N: 1}
	batch := objstore.Batch{LSN: 1, Next: 2}
	for _, name := range []string{"carol", "alice", "bob"} {
		batch.Put(objstore.ElementKey(friends, name), objstore.Record{LSN: 1})
	}
	if err := store.Commit(context.Background(), &batch); err != nil {
		log.Fatal(err)
	}

	now := store.Snapshot()
	defer now.Release()
	lo, hi := objstore.ElementRange(friends)
	err = now.Scan(lo, hi, func(key objstore.Key, _ objstore.Record) bool {
		parts, err := objstore.ParseKey(key)
		fmt.Println(parts.Elem, err)
		return true
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// alice <nil>
	// bob <nil>
	// carol <nil>
}

// A power failure takes back what Commit has not confirmed, and nothing else.
func ExampleMemoryFiles_Crash() {
	files := objstore.NewMemory()
	defer files.Close()
	store, err := objstore.Open("", objstore.Options{Files: files})
	if err != nil {
		log.Fatal(err)
	}
	err = store.Commit(context.Background(), &objstore.Batch{LSN: 1, Next: 1})
	fmt.Println("confirmed:", err)
	files.Hook(func(op, name string, size int) (int, error) {
		if op == "sync" {
			return 0, errors.New("the lights go out")
		}
		return 0, nil
	})
	err = store.Commit(context.Background(), &objstore.Batch{LSN: 2, Base: 1, Next: 1})
	fmt.Println(errors.Is(err, objstore.ErrStopped))

	after, err := files.Crash(nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = store.Close() // of the dead machine
	store, err = objstore.Open("", objstore.Options{Files: after})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	fmt.Println(store.Info().LSN)
	// Output:
	// confirmed: <nil>
	// true
	// 1
}
