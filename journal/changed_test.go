package journal

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Some programs clean folders, restore backups, or truncate what they take for a log.
func TestACallIsFoundAlthoughSomebodyHasChangedTheFileBefore(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 0) },
		"cut":       func(path string) error { return os.Truncate(path, headerSize+10) },
		"extended":  func(path string) error { return os.Truncate(path, 1<<20) },
		"replaced": func(path string) error {
			old := path + ".old"
			if err := os.WriteFile(old, []byte("another file"), 0o600); err != nil {
				return err
			}

			return os.Rename(old, path)
		},
		"replaced by its copy": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}

			if err := os.WriteFile(path+".old", data, 0o600); err != nil {
				return err
			}

			return os.Rename(path+".old", path)
		},
	} {
		for _, ends := range []string{"before", "after"} {
			path := journalPath(t)
			j := open(t, path)
			begin(t, j, 1)
			removed := begin(t, j, 2)

			if ends == "before" {
				end(t, removed, nil)
			}

			if err := change(path); err != nil {
				t.Fatal(err)
			}

			begin(t, j, 3)

			if ends == "after" {
				end(t, removed, nil)
			}

			j.Close()

			again := open(t, path)
			if got := keys(again); !slices.Equal(got, []string{"order-1", "order-3"}) || len(again.Damage()) > 0 {
				t.Errorf("%s, a call that ends %s: the calls are %v; damage %v", name, ends, got, again.Damage())
			}
		}
	}
}

// The call would not be found later.
func TestACallIsNotSentIfItsFileIsReplacedAllTheTime(t *testing.T) {
	path := journalPath(t)
	env := realEnvironment()
	replace := false
	env.at = func(point string) {
		if point == "replaced" && replace {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		}
	}

	j := open(t, path, withEnvironment(env))
	replace = true

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	if _, err := j.Begin(testContext, testEntry(1)); err == nil {
		t.Error("the call is written to a file without a name")
	}

	replace = false

	begin(t, j, 2)
	j.Close()

	if got := keys(open(t, path)); !slices.Equal(got, []string{"order-2"}) {
		t.Errorf("the calls are %v", got)
	}
}

// Requests may be confidential.
func TestTheFileIsTheOwnersAloneWhateverIsThereWhenItIsWrittenAnew(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, prepare := range map[string]func(path string) error{
		"a file":             func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"a link":             func(path string) error { return os.Symlink(other, path) },
		"a link to nothing":  func(path string) error { return os.Symlink(other+".not", path) },
		"a second hard link": func(path string) error { return os.Link(other, path) },
	} {
		path := journalPath(t)
		if err := prepare(path + ".new"); err != nil {
			t.Fatal(err)
		}

		begin(t, open(t, path), 1)

		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: the journal is %v: %v", name, info.Mode(), err)
		}

		if text, err := os.ReadFile(other); err != nil || string(text) != "text" {
			t.Errorf("%s: the other file has %q: %v", name, text, err)
		}
	}
}
