//go:build unix

package oncekafka_test

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// committed returns the offset that the group has committed, and -1 if it has none.
func (b *broker) committed(partition int32) (int64, error) {
	wanted := kmsg.NewOffsetFetchRequestTopic()
	wanted.Topic, wanted.Partitions = topic, []int32{partition}

	request := kmsg.NewOffsetFetchRequest()
	request.Group = group
	request.Topics = append(request.Topics, wanted)

	response, err := request.RequestWith(b.t.Context(), b.client)
	if err != nil {
		return 0, err
	}

	if len(response.Topics) == 0 { // there is no group yet
		return -1, kerr.ErrorForCode(response.ErrorCode)
	}

	at := response.Topics[0].Partitions[0]

	return at.Offset, kerr.ErrorForCode(at.ErrorCode)
}
