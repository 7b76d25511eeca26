// Package servers runs servers that the system lacks, without installing them.
//
//	valkey, err := servers.Find(servers.Valkey9)
//	cmd := valkey.Command("--port", "6380")
//
// A server comes from another Debian release or from npm, with all its libraries. It is downloaded once, with apt-get or npm of the system,
// and unpacked into a cache folder. For root, the folder is /var/cache/onlyonce-test, so that other users can run the server. Otherwise it
// is onlyonce-test in the user's cache folder. Remove the folder to get newer servers.
package servers
