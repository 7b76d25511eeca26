package sqlstore

import "testing"

func TestDatabaseIsKnownByItsVersion(t *testing.T) {
	t.Parallel()

	for version, want := range map[string]struct {
		dialect Dialect
		name    string
	}{
		"PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc": {PostgreSQL, "PostgreSQL 15.8"},
		"PostgreSQL 17beta1 on x86_64":                   {PostgreSQL, "PostgreSQL 17beta1"},
		"10.11.6-MariaDB-0+deb12u1":                      {MySQL, "MariaDB 10.11.6"},
		"8.0.36":                                         {MySQL, "MySQL 8.0.36"},
		"8.0.36-0ubuntu0.22.04.1":                        {MySQL, "MySQL 8.0.36"},
		"9.7.0-commercial":                               {MySQL, "MySQL 9.7.0"},
		"CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu)": {},
		"PostgreSQL":                                     {},
		"-":                                              {},
		"":                                               {},
	} {
		if dialect, name := whichVersion(version); dialect != want.dialect || name != want.name {
			t.Errorf("%q is %v, %q, want %v, %q", version, dialect, name, want.dialect, want.name)
		}
	}
}
