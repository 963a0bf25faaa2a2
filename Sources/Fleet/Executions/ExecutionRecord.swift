package import Foundation

/// How an execution stands in the history. `failed`: it never ran, or could not be followed to its end; `lost`: its
/// gateway died.
package enum ExecutionState: String, Sendable, Codable, CaseIterable {
    case running, exited, signaled, timeout, memory, processes, cancelled, failed, lost
    case outputLimit = "output_limit"
}

/// An execution as it begins.
package struct ExecutionRecord: Sendable {
    package let id: ExecutionID
    package let userID: UserID
    package let environmentID: EnvironmentID
    package let gatewayID: String
    package let requestID: String?
    package let language: String
    package let code: [UInt8]  // the first 64 KiB are kept
    package let startedAt: Date  // by its gateway's clock

    package init(
        id: ExecutionID, userID: UserID, environmentID: EnvironmentID, gatewayID: String, requestID: String?,
        language: String, code: [UInt8], startedAt: Date = .now
    ) {
        self.id = id
        self.userID = userID
        self.environmentID = environmentID
        self.gatewayID = gatewayID
        self.requestID = requestID
        self.language = language
        self.code = code
        self.startedAt = startedAt
    }
}

/// How an execution ended. What is unknown is `nil`.
package struct ExecutionOutcome: Sendable {
    package var state: ExecutionState
    package var exitCode: Int?
    package var signal: String?
    package var durationMs: Double?
    package var cpuMs: Double?
    package var maxRssBytes: Int?
    package var truncated: Bool?
    package var stdout: [UInt8] = []  // the first 64 KiB are kept
    package var stderr: [UInt8] = []
    package var stdoutBytes = 0
    package var stderrBytes = 0
    package var errorCode: ServiceError.Code?
    package var errorMessage: String?
    package var endedAt: Date  // by its gateway's clock

    package init(state: ExecutionState, endedAt: Date = .now) {
        self.state = state
        self.endedAt = endedAt
    }
}

/// An execution in a list.
package struct ExecutionSummary: Sendable, Hashable {
    package let id: ExecutionID
    package let userID: UserID
    package let environmentID: EnvironmentID
    package let gatewayID: String
    package let requestID: String?
    package let state: ExecutionState
    package let language: String
    package let codeBytes: Int
    package let exitCode: Int?
    package let signal: String?
    package let durationMs: Double?
    package let cpuMs: Double?
    package let maxRssBytes: Int?
    package let truncated: Bool?
    package let stdoutBytes: Int?
    package let stderrBytes: Int?
    package let errorCode: ServiceError.Code?
    package let errorMessage: String?
    package let startedAt: Date
    package let finishedAt: Date?
}

/// An execution with what it ran and wrote, of each the first 64 KiB.
package struct ExecutionDetail: Sendable, Hashable {
    package let summary: ExecutionSummary
    package let code: [UInt8]
    package let stdout: [UInt8]  // empty while it runs
    package let stderr: [UInt8]
}
