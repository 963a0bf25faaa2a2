import Foundation
import Testing

@testable import Client

/// What admins see of the API's JSON.
@Suite struct AdministrationTests {
    let style = TextStyle(hasColours: false, now: Date(timeIntervalSince1970: 1_800_000_000))

    private func value(_ json: String) throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
    }

    @Test func aFailedJobIsToldWhole() throws {
        let text = Resource.report(
            of: try value(
                #"""
                {"job":{"id":"start:1:2","name":"start","state":"failed","attemptsMade":2,"maxAttempts":2,"delayMs":0,
                "stalledCount":0,"createdAt":"2027-01-15T07:59:00.000Z","failedReason":"its home is gone",
                "data":{"userId":"u"},"stacktrace":["one\n  at two","\u001b[2Jthree"],"progress":null},
                "logs":["tried","tried again"],"logCount":12}
                """#), in: "vm-control", style)
        #expect(
            text == #"""
                job       start:1:2
                queue     vm-control
                name      start
                state     failed
                attempts  2 of 2
                created   2027-01-15 07:59:00 UTC, 60 s ago
                reason    its home is gone

                data
                  {
                    "userId" : "u"
                  }

                stack
                  one
                    at two
                  \x1B[2Jthree

                log, the newest 2 of 12 lines
                  tried
                  tried again
                """#)
    }

    @Test func theFleetIsSeenAtAGlance() throws {
        let text = FleetReport.text(
            try value(
                """
                {"environments":12,"environmentsByState":{"running":3,"stopped":9,"error":0},"environmentsByProvider":
                {"local":12},"environmentsByTier":{"free":12},"users":5,"suspendedUsers":1,"usersByTier":{"pro":2,"free":3},
                "runtimeHoursThisMonth":12.54,"executionsLastHour":{"byState":{"exited":40,"timeout":2},"medianMs":25.4,
                "percentile95Ms":1200},"executionsPerMinute":[{"count":0},{"count":1},{"count":8}],
                "hostsByState":{"ready":1},"hostCapacity":{"vcpus":32,"memoryMb":65536,"diskMb":1048576},
                "hostUsed":{"vcpus":6,"memoryMb":4096,"diskMb":10240},"queues":[{"name":"vm-control","isPaused":true,
                "counts":{"waiting":1,"prioritized":0,"delayed":0,"active":0,"completed":7,"failed":2},"workers":["a"]}]}
                """), style)
        #expect(
            text == """
                environments  12: 9 stopped, 3 running
                by provider   12 local
                by tier       12 free
                users         5: 3 free, 2 pro; 1 suspended
                this month    12.5 h of runtime
                last hour     42 runs: 40 exited, 2 timeout, half within 25 ms, 95 % within 1.2 s
                per minute     \u{2581}\u{2588} at most 8
                hosts         1 ready
                on hosts      6 of 32 vCPU, 4 GB of 64 GB memory, 10 GB of 1024 GB disk

                QUEUE       STATE   WAITING  PRIORITIZED  DELAYED  ACTIVE  COMPLETED  FAILED  WORKERS
                vm-control  paused  1        0            0        0       7          2       1
                """)
    }

    @Test func aTimelineHasBothWhatWasDoneAndWhatWasRun() throws {
        let events = try value(
            """
            [{"at":"2027-01-15T07:59:57Z","kind":"execution","audit":null,"execution":{"language":"python",
            "state":"exited","durationMs":1500.2,"errorCode":null,"requestId":"r2"}},
            {"at":"2027-01-15T07:50:00Z","kind":"audit","execution":null,"audit":{"action":"start","fromState":"stopped",
            "toState":"starting","actor":{"kind":"admin","id":"a"},"durationMs":null,"errorCode":"quota_exceeded",
            "requestId":"r1"}}]
            """
        ).values
        #expect(
            Resource.timeline.table(of: events, style) == """
                WHEN        WHAT        OUTCOME             TOOK   ERROR           BY       REQUEST
                3 s ago     run python  exited              1.5 s  -               -        r2
                10 min ago  start       stopped > starting  -      quota_exceeded  admin a  r1
                """)
    }

    @Test func whatAnAdminSetIsToldFromWhatTheTierSays() throws {
        let quota = try value(#"{"limits":{"environments":10,"vcpus":2},"used":{"environments":1}}"#)
        let overrides = try value(#"{"environments":10,"vcpus":null}"#)
        let lines = QuotaTable.text(quota, overrides: overrides, style).split(separator: "\n")
        #expect(lines[1].hasSuffix("10     admin") && lines[3].hasSuffix("2      tier"), "\(lines)")
    }
}
