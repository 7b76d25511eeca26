// Package alerts tests the dashboard and the alert rules of package onceotel with the rules library of Prometheus. It is a module of its
// own, so that users of package onceotel do not get that library.
package alerts
