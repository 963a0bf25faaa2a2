import Fleet
import Testing

@Suite struct EnvironmentStateTests {
    static let pairs = EnvironmentState.allCases.flatMap { from in EnvironmentState.allCases.map { (from, $0) } }

    /// DESIGN.md's moves, written out a second time.
    static let legal: Set<String> = [
        "requested provisioning", "requested error", "provisioning starting", "provisioning running",
        "provisioning error", "starting running", "starting error", "running stopping", "running destroying",
        "running error", "stopping stopped", "stopping error", "stopped starting", "stopped destroying",
        "stopped error", "destroying destroyed", "destroying error", "error starting", "error destroying",
    ]

    @Test(arguments: pairs) func onlyTheMovesOfTheDesignAreLegal(_ from: EnvironmentState, _ to: EnvironmentState) {
        let error = Result { () throws(ServiceError) in try from.check(moveTo: to) }.failure
        if Self.legal.contains("\(from) \(to)") {
            #expect(error == nil)
        } else {
            #expect(error?.code == .illegalTransition && error?.hint.isEmpty == false)
        }
    }

    @Test(arguments: EnvironmentState.allCases) func everyStateMovesOnOrSaysWhoMovesIt(_ state: EnvironmentState) {
        // One that waits for a job has a job, save for `requested`, which nobody sees.
        #expect((EnvironmentAction(entering: state) != nil) == (state.isTransitional && state != .requested))
    }
}

extension Result {
    var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
