import ArgumentParser
import Operator

extension Console {
    /// Runs the whole of a command that shows its steps: whatever `body` throws ends the step under way as failed and
    /// is an event; being cancelled is exit code 130.
    func reporting(_ body: () async throws -> Void) async throws {
        try await withAnimation {
            do {
                try await body()
            } catch is CancellationError {
                finish(.failed, "interrupted")
                throw ExitCode(130)
            } catch {
                finish(.failed)
                event(UpEvent(event: "failed", message: "\(error)"))
                throw error
            }
        }
    }
}
