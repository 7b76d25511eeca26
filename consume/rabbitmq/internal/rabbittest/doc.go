// Package rabbittest starts RabbitMQ for tests.
//
// A [Server] has a folder, ports, a cookie and an epmd of its own. It touches no other RabbitMQ of the system, and nothing
// of it is left when it has stopped.
package rabbittest
