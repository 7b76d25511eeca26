//go:build unix

package oncekafka_test

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/onlyonce-go/onlyonce/consume"
	oncekafka "github.com/onlyonce-go/onlyonce/consume/kafka"
)

// refuseCommit lets the cluster refuse the next commit.
func (b *broker) refuseCommit() {
	b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		response := kmsg.NewPtrOffsetCommitResponse()
		response.Version = request.GetVersion()

		commit, ok := request.(*kmsg.OffsetCommitRequest)
		if !ok {
			return nil, errors.New("the request is another one"), true
		}

		for _, topic := range commit.Topics {
			refused := kmsg.NewOffsetCommitResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID

			for _, partition := range topic.Partitions {
				at := kmsg.NewOffsetCommitResponseTopicPartition()
				at.Partition, at.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
				refused.Partitions = append(refused.Partitions, at)
			}

			response.Topics = append(response.Topics, refused)
		}

		return response, nil, true
	})
}

// A group whose commits fail handles all records again after its end.
func TestACommitThatFailsIsReportedAndMadeAgain(t *testing.T) {
	t.Parallel()

	b := newBroker(t, 1)
	b.refuseCommit()

	failed := make(chan struct{}, 1)

	start(t, b.consumer(func(context.Context, *consume.Message) consume.Decision { return consume.Decision{Action: consume.Ack} },
		oncekafka.WithReport(func(_ context.Context, r oncekafka.Report) {
			if r.Message == nil && errors.Is(r.Err, kerr.TopicAuthorizationFailed) {
				failed <- struct{}{}
			}
		})))

	b.produce(0, "a")
	<-failed
	b.waitCommitted(0, 1)
}
