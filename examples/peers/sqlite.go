package peers

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver named "sqlite"
)

// sqlitePeer is SQLite with a write-ahead log and full durability. A group is one
// transaction. The number is a column of its own, so that a change is one statement.
type sqlitePeer struct {
	*committer
	db  *sql.DB
	con *sql.Conn // the committer's
	add *sql.Stmt
}

func openSQLite(dir string, objects int) (Peer, error) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sqlite")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-65536)")
	if err != nil {
		return nil, err
	}
	p := &sqlitePeer{db: db}
	if err := p.prepare(ctx, objects); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p.committer = newCommitter(p.commit)
	return p, nil
}

func (p *sqlitePeer) prepare(ctx context.Context, objects int) (err error) {
	if p.con, err = p.db.Conn(ctx); err != nil {
		return err
	}
	create := "CREATE TABLE IF NOT EXISTS objects (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, padding BLOB NOT NULL)"
	if _, err = p.con.ExecContext(ctx, create); err != nil {
		return err
	}
	if err = p.inTx(ctx, func() error { return p.fill(ctx, objects) }); err != nil {
		return err
	}
	p.add, err = p.con.PrepareContext(ctx, "UPDATE objects SET n = n + ? WHERE id = ?")
	return err
}

// fill makes the objects that are not there yet.
func (p *sqlitePeer) fill(ctx context.Context, objects int) error {
	insert, err := p.con.PrepareContext(ctx, "INSERT INTO objects VALUES (?, 0, ?) ON CONFLICT DO NOTHING")
	if err != nil {
		return err
	}
	for key := range objects {
		o := fresh(key)
		if _, err := insert.ExecContext(ctx, key, o[8:]); err != nil {
			return errors.Join(err, insert.Close())
		}
	}
	return insert.Close()
}

// inTx runs do in a transaction on the committer's connection. sql.Tx is not used because
// its statements are prepared anew in each transaction.
func (p *sqlitePeer) inTx(ctx context.Context, do func() error) error {
	if _, err := p.con.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := do(); err != nil {
		_, undo := p.con.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, undo)
	}
	_, err := p.con.ExecContext(ctx, "COMMIT")
	return err
}

func (p *sqlitePeer) commit(changes []change) error {
	ctx := context.Background()
	return p.inTx(ctx, func() error {
		for i := range changes {
			for _, s := range changes[i].steps[:changes[i].n] {
				if _, err := p.add.ExecContext(ctx, s.by, s.key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Sum implements Peer.
func (p *sqlitePeer) Sum() (sum int64, err error) {
	err = p.db.QueryRow("SELECT sum(n) FROM objects").Scan(&sum)
	return sum, err
}

// Close implements Peer.
func (p *sqlitePeer) Close() error {
	p.stop()
	return errors.Join(p.add.Close(), p.con.Close(), p.db.Close())
}
