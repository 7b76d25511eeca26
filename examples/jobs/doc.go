// Package jobs pays out once a day, with any scheduler. Its subpackages are examples for a cron library, River and asynq.
package jobs
