// Package servertest is the common part of packages that start servers for tests: child processes, ports and waiting.
package servertest
