// Package jobs pays out once a day, whatever schedules it: a cron library, River or asynq. The packages below it have an example each.
package jobs
