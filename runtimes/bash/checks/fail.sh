set -u
echo before
echo "$nothing"
echo after
