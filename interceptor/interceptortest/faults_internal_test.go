package interceptortest

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/onlyonce-go/onlyonce"
)

func TestRiskIsThatOfBothAnswers(t *testing.T) {
	yes := FaultAnswer{Code: codes.OK, Verdict: onlyonce.VerdictFinal}
	no := FaultAnswer{Code: codes.FailedPrecondition, Verdict: onlyonce.VerdictFinal}
	unknown := FaultAnswer{Code: codes.Internal, Verdict: onlyonce.VerdictUnknown}

	for _, tt := range []struct {
		effects     int
		first, last FaultAnswer
		want        Risk
	}{
		{1, yes, yes, RiskNone},
		{0, no, no, RiskNone},
		{1, unknown, yes, RiskNone},
		{1, unknown, unknown, RiskOpen},
		{2, yes, yes, RiskDoubled},
		{1, unknown, no, RiskDenied},
		{1, no, yes, RiskDenied}, // who was told no never sees the other answer
		{0, unknown, yes, RiskInvented},
		{0, yes, unknown, RiskInvented},
	} {
		if got := riskOf(tt.effects, tt.first, tt.last); got != tt.want {
			t.Errorf("%d effects, answered with %v and %v: %s, want %s", tt.effects, tt.first, tt.last, got, tt.want)
		}
	}
}
