// Package alerts tests the dashboard and the alert rules of package onceotel with the rules library of Prometheus. It is a separate module
// so that users of onceotel do not get this library.
package alerts
