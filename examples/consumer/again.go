package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
)

// sendAgain publishes the first message of the outbox until the stream stores it twice. A killed producer published the message without
// removing it from the outbox. The stream drops copies while it remembers the ID.
func (s *scenario) sendAgain(ctx context.Context) error {
	db, err := openPatiently(s.task(), orderDatabase)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was read

	var id, data string
	if err := db.QueryRowContext(ctx, "SELECT id, data FROM outbox ORDER BY position LIMIT 1").Scan(&id, &data); err != nil {
		return fmt.Errorf("reading the outbox: %w", err)
	}

	return patiently(ctx, func(ctx context.Context) error {
		ack, err := s.js.Publish(ctx, subject, []byte(data), jetstream.WithMsgID(id))
		if err == nil && ack.Duplicate {
			err = errors.New("the stream knows the message")
		}

		return err
	})
}

// backUp copies the producer's database. No process may use the database meanwhile.
func (s *scenario) backUp() (err error) {
	s.backup, err = os.ReadFile(filepath.Join(s.folder, orderDatabase))

	return err
}

// restore replaces the producer's database by the copy. The orders, the outbox and the records are lost. The next producer places all
// orders again, with the same keys.
func (s *scenario) restore() error {
	path := filepath.Join(s.folder, orderDatabase)

	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}

	return os.WriteFile(path, s.backup, 0o600)
}
