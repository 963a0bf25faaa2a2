/// Life of one environment. No clock and no I/O, so every move is a unit test.
package enum EnvironmentState: String, CaseIterable, Sendable, Codable {
    case requested, provisioning, starting, running, stopping, stopped, destroying, destroyed, error

    /// Every legal move, said once: the SQL compare-and-set is built from it.
    package var successors: Set<EnvironmentState> {
        switch self {
        case .requested: [.provisioning, .error]
        case .provisioning: [.starting, .running, .error]
        case .starting: [.running, .error]
        case .running: [.stopping, .destroying, .error]
        case .stopping: [.stopped, .error]
        case .stopped: [.starting, .destroying, .error]
        case .destroying: [.destroyed, .error]
        case .error: [.starting, .destroying]  // by explicit recovery only
        case .destroyed: []
        }
    }

    /// Whether a job is at work on it: somebody who waits may expect another state soon.
    package var isTransitional: Bool {
        switch self {
        case .requested, .provisioning, .starting, .stopping, .destroying: true
        case .running, .stopped, .destroyed, .error: false
        }
    }

    /// Throws `illegal_transition` unless `next` is a successor.
    package func check(moveTo next: EnvironmentState) throws(ServiceError) {
        guard successors.contains(next) else {
            throw ServiceError(
                .illegalTransition, "A VM that is '\(rawValue)' cannot become '\(next.rawValue)'.", hint: advice)
        }
    }

    /// What a user can do about a VM in this state.
    package var advice: String {
        switch self {
        case .requested, .provisioning, .starting: "Wait until it is running: 'martlet env list'."
        case .running: "Stop it first: 'martlet vm stop', 'martlet env stop NAME'."
        case .stopping: "Wait until it is stopped: 'martlet env list'."
        case .stopped: "Start it: 'martlet vm start', 'martlet env start NAME'."
        case .destroying, .destroyed: "Make a new one: 'martlet vm start', 'martlet env create'."
        case .error: "See why with 'martlet vm logs', then start it again or destroy it."
        }
    }
}

/// The five words a user VM shows.
package enum UserVMStatus: String, Sendable, Codable {
    case pending, provisioning, stopped, running, error

    package init(_ state: EnvironmentState) {
        switch state {
        case .requested: self = .pending
        case .provisioning, .starting: self = .provisioning
        case .running: self = .running
        case .stopping, .stopped, .destroying, .destroyed: self = .stopped
        case .error: self = .error
        }
    }
}
